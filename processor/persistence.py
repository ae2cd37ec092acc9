"""Persistence of the engine's loops: a step that fails for want of Redis, or of the group, is done again."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import ResponseError

from processor.store import is_group_gone
from schema.errors import StorageUnavailable

log = structlog.get_logger()

_PAUSE_S = 0.5
_PAUSE_MAX_S = 10.0


async def persistently(
    name: str, step: Callable[[], Awaitable[object]], regroup: Callable[[], Awaitable[object]]
) -> None:
    """Do one step, again and again (with growing pauses) while Redis is away or the group is gone.

    Args:
        name: of the loop, for the log.
        step: what to do.
        regroup: makes stream and group anew.

    Raises:
        Exception: whatever else the step raised.
    """
    pause_s = _PAUSE_S
    while True:
        try:
            await step()
        except StorageUnavailable as error:
            log.warning("redis.unavailable", loop=name, error=str(error))
        except ResponseError as error:
            if not is_group_gone(error):
                raise
            await _mend(name, regroup)
        else:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _PAUSE_MAX_S)


async def _mend(name: str, regroup: Callable[[], Awaitable[object]]) -> None:
    log.warning("stream.gone", loop=name)
    try:
        await regroup()
    except StorageUnavailable as error:
        log.warning("redis.unavailable", loop="regroup", error=str(error))
