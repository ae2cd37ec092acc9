"""Named crash points: places where a test can make a process die as if the machine had gone.

Off unless `CRASH_AT` names one (``send.after_post`` or ``send.after_post:3`` for the third time). They
stand at each side of every durable effect; `POINTS` lists them all, so a test can try each.
"""

import os
import signal

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

_name, _, _nth = os.environ.get("CRASH_AT", "").partition(":")
_left = int(_nth or 1)


def reached(point: str) -> None:
    """Die here, at once and without clean-up, if the environment asks for it."""
    global _left  # noqa: PLW0603 -- one process, one crash
    if point != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
