"""The wake channel: who goes from idle to busy says so, and all others look for its crash in time.

What is said is ``began`` (work in flight: it cannot be found left behind before its idle time is over) or the
name of an instance that left something due now. Messages may be lost (pub/sub keeps none): the ticker's
longest sleep is the net under this.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from ops.redis import Client

log = structlog.get_logger()

BEGAN = b"began"
_SOON_S = 0.05
_PAUSE_S = 10.0


async def listen(
    client: Client, channel: str, look_again_in: Callable[[float], None], *, reclaim_idle_s: float
) -> None:
    """Ask for a tick whenever something is said; a lost connection is renewed. Ends only by cancellation."""
    while True:
        try:
            async with client.pubsub() as heard:
                await heard.subscribe(channel)
                look_again_in(0)
                while True:
                    said = await heard.get_message(ignore_subscribe_messages=True, timeout=None)
                    if said is not None:
                        look_again_in(reclaim_idle_s if said["data"] == BEGAN else _SOON_S)
        except (OSError, RedisError, asyncio.IncompleteReadError) as error:
            log.debug("wake.lost", kind=type(error).__name__)
        await asyncio.sleep(_PAUSE_S)
