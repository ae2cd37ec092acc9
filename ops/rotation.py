"""Whether a previous secret is still in use: a mark in Redis that alerts look at.

At most one write a minute and process, beside the requests: it holds up none, and losing it loses nothing.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from ops.redis import Client, translated
from schema.errors import StorageUnavailable
from schema.keys import Keys

log = structlog.get_logger()

_EVERY_S = 60.0
_KEEP_S = 7 * 86_400


class PreviousSecret:
    """Notes that a previous secret vouched for a webhook."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._noted_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()

    def used(self) -> None:
        """Note it soon, unless that was done within the last minute."""
        if self._clock() - self._noted_at < _EVERY_S:
            return
        self._noted_at = self._clock()
        task = asyncio.create_task(self._note())
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _note(self) -> None:
        try:
            with translated("noting the previous secret's use"):
                seconds, micros = await self._client.time()
                now_ms = seconds * 1000 + micros // 1000
                await self._client.set(Keys(0).previous_secret, now_ms, ex=_KEEP_S)
        except StorageUnavailable as error:
            log.debug("rotation.unnoted", error=str(error))
