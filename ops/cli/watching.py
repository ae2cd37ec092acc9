"""Commands that go on until Ctrl-C: the first one ends them, whatever they are waiting for.

`asyncio.run` answers Ctrl-C with one cancellation, which a driver may lose on Python 3.11 (`ops.together`);
the command would go on as if nobody had asked.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def run_until_asked(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it has ended, or SIGINT or SIGTERM asks for its end.

    Raises:
        Exception: what ``work`` raised.
    """
    asyncio.run(_until_asked(work))


async def _until_asked(work: Coroutine[Any, Any, None]) -> None:
    from ops.together import until  # noqa: PLC0415 -- completion and help need no event loop

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await until(stop, work)
