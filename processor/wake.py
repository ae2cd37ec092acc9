"""The wake channel: who goes from idle to busy says so, and all others look for its crash in time.

Messages may be lost (pub/sub keeps none): the ticker's longest sleep is the net under this.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from ops.redis import Client

log = structlog.get_logger()

_SOON_S = 0.05
_PAUSE_S = 10.0


async def listen(client: Client, channel: str, look_again_in: Callable[[float], None]) -> None:
    """Ask for a tick whenever something is said; a lost connection is renewed. Ends only by cancellation."""
    while True:
        try:
            async with client.pubsub() as heard:
                await heard.subscribe(channel)
                look_again_in(0)
                while True:
                    if await heard.get_message(ignore_subscribe_messages=True, timeout=None) is not None:
                        look_again_in(_SOON_S)
        except (OSError, RedisError, asyncio.IncompleteReadError) as error:
            log.debug("wake.lost", kind=type(error).__name__)
        await asyncio.sleep(_PAUSE_S)
