"""Waiting for the outcome of an event: one blocking read per partition, running only while somebody waits.

The read starts from the stream's end as it was before the waiter's webhook was appended, so an outcome
cannot slip through between the append and the wait.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from ops.redis import Client, translated
from ops.together import end_all
from schema.errors import StorageUnavailable
from schema.events import (
    EventError,
    EventIgnored,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    decode,
    text_fields,
)
from schema.identity import partition_of
from schema.keys import Keys

log = structlog.get_logger()

BLOCK_S = 5.0
_COUNT = 500
_FINAL = {t.type.encode(): t for t in (LeadProcessed, LeadDeadLettered, EventIgnored)}

Waiter = asyncio.Future[Outcome | None]


class OutcomeTail:
    """Reads the outcomes of one partition for whoever waits."""

    def __init__(self, keys: Keys, commands: Client, reader: Client) -> None:
        """Set up; nothing is read yet.

        Args:
            keys: of the partition.
            commands: for short commands.
            reader: for the blocking read of at most ``BLOCK_S`` seconds.
        """
        self._stream = keys.outcomes
        self._commands = commands
        self._reader = reader
        self._waiters: dict[bytes, set[Waiter]] = defaultdict(set)
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._shut = False

    @asynccontextmanager
    async def waiting(self, event_id: str) -> AsyncIterator[Waiter]:
        """A future for the event's final outcome from now on; None where the reading ended first.

        Raises:
            StorageUnavailable: Redis is away.
        """
        future: Waiter = asyncio.get_running_loop().create_future()
        key = event_id.encode()
        async with self._starting:
            if self._shut:
                future.set_result(None)
            elif self._task is None or self._task.done():
                after = await self._end()
                if self._is_shut():  # meanwhile: nobody would let this waiter go
                    future.set_result(None)
                else:
                    self._waiters[key].add(future)
                    self._task = asyncio.create_task(self._read(after))
            else:
                self._waiters[key].add(future)
        try:
            yield future
        finally:
            self._waiters[key].discard(future)
            if not self._waiters[key]:
                del self._waiters[key]

    def shut(self) -> None:
        """Let all waiters go, and whoever comes from now on."""
        self._shut = True
        self._release()

    def _is_shut(self) -> bool:
        return self._shut

    async def close(self) -> None:
        """Shut, and stop reading."""
        self.shut()
        if self._task is not None:
            await end_all([self._task])

    async def _end(self) -> bytes:
        with translated("looking for the end of the outcomes"):
            rows: Any = await self._commands.xrevrange(self._stream, count=1)
        return bytes(rows[0][0]) if rows else b"0-0"

    async def _read(self, after: bytes) -> None:
        try:
            while self._waiters:
                with translated("waiting for outcomes"):
                    reply: Any = await self._reader.xread(
                        {self._stream: after}, count=_COUNT, block=round(BLOCK_S * 1000)
                    )
                for _, rows in reply or []:
                    for entry_id, fields in rows:
                        after = entry_id
                        self._tell(fields)
        except StorageUnavailable as error:
            log.warning("outcomes.away", error=str(error))
        finally:
            # No await between the last look at the waiters and the end: nobody can be forgotten.
            self._release()

    def _tell(self, fields: dict[bytes, bytes]) -> None:
        waiters = self._waiters.get(fields.get(b"event_id", b""))
        if not waiters or fields.get(b"type") not in _FINAL:
            return
        try:
            event = decode(text_fields(fields))
        except EventError as error:
            log.error("stream.undecodable", error=str(error))  # noqa: TRY400 -- its text says it all
            return
        for waiter in waiters:
            if not waiter.done() and isinstance(event, Outcome):
                waiter.set_result(event)

    def _release(self) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


class Outcomes:
    """The tails of all partitions, each opened when first needed."""

    def __init__(self, partitions: int, open_tail: Callable[[Keys], OutcomeTail]) -> None:
        self._partitions = partitions
        self._open_tail = open_tail
        self._tails: dict[int, OutcomeTail] = {}
        self._shut = False

    def of(self, lead_id: str) -> OutcomeTail:
        """The tail of the lead's partition."""
        partition = partition_of(lead_id, self._partitions)
        if partition not in self._tails:
            self._tails[partition] = self._open_tail(Keys(partition))
            if self._shut:
                self._tails[partition].shut()
        return self._tails[partition]

    async def close(self) -> None:
        """Close every tail; nobody waits from now on."""
        self._shut = True
        await asyncio.gather(*(tail.close() for tail in self._tails.values()))
