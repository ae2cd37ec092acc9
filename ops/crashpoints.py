"""Named crash points: places where a test can make a process die as if the machine had gone.

Off unless `CRASH_FILE` is set. While that file exists and holds the name of a point, the first process that
reaches the point takes the file away and is SIGKILLed: exactly one crash per file, whoever restarts. The
points stand at each side of every durable effect; `POINTS` lists them all, so a test can try each.
"""

import os
import signal
from pathlib import Path

POINTS = (
    "append.before",
    "append.after",
    "enter.before",
    "enter.after",
    "step.before",
    "step.after",
    "send.before_intent",
    "send.after_intent",
    "send.after_post",
    "send.after_done",
    "finish.before",
    "finish.after",
    "project.before_commit",
    "project.after_commit",
)

_file = Path(os.environ["CRASH_FILE"]) if os.environ.get("CRASH_FILE") else None


def reached(point: str) -> None:
    """Die here, at once and without clean-up, if a test asks for it."""
    if _file is None:
        return
    try:
        if _file.read_text(encoding="utf-8") == point:
            _file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    except FileNotFoundError:
        return
