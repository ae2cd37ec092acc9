"""The system before ours, as the migration's tests play it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Make:
    """The old system: keeps the bodies it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@contextmanager
def playing() -> Iterator[Make]:
    """It listens until the block is left."""
    make = Make()
    thread = threading.Thread(target=make.server.serve_forever)
    thread.start()
    try:
        yield make
    finally:
        make.server.shutdown()
        thread.join()
        make.server.server_close()
