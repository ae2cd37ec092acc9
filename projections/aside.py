"""Work aside: in a thread, while the loop waits for Postgres.

The thread makes the next batch ready in one go; a loop that did so itself would let Postgres wait for it at
each of some twenty statements of the batch before. Threads take turns, so one has to give way at once.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import TypeVar

from ops.together import outlasted

Made = TypeVar("Made")

_TURN_S = 0.00005  # of the interpreter's 5 ms Postgres would have its answer read late each time


async def aside(work: Callable[[], Made]) -> Made:
    """What ``work`` returns; our own cancellation waits for its end, for it may change what we hold."""
    sys.setswitchinterval(_TURN_S)
    return await outlasted(asyncio.get_running_loop().run_in_executor(None, work))
