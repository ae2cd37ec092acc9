"""Imported first by each service: until it listens to signals, Ctrl-C ends it at once, as SIGTERM does.

Python's own way is a `KeyboardInterrupt` wherever the program just is. While libraries are being imported
some of them swallow it, and the service would go on as if nobody had asked it to stop.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)
