"""Blocking reads over streams of several partitions.

One server is asked with one XREAD for all. A cluster takes only streams of one hash slot in a command, so
each slot is asked by a read of its own; those that still wait when another has something go on waiting, and
are collected by a later call: no polling, and no connection is given up for nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from redis.crc import key_slot

from ops.redis import Client
from ops.redis_cluster import ClusterClient
from ops.together import end_all

Rows = list[tuple[str, list[tuple[bytes, list[bytes]]]]]
"""By stream: the id of each entry, and its names and values in turn."""
Asked = tuple["asyncio.Task[Rows]", dict[str, str]]


class StreamReads:
    """The reads of one caller; `close` ends those under way."""

    def __init__(self, client: Client) -> None:
        """Set up.

        Args:
            client: of `ops.redis.blocking_client`, with a connection for each stream.
        """
        self._client = client
        self._asked: dict[int, Asked] = {}

    async def read(self, marks: Mapping[str, str], *, count: int, block_s: float) -> Rows:
        """Entries behind the marks, by stream; empty where none came in time.

        Args:
            marks: the last entry id seen of each stream.
            count: most entries of one stream.
            block_s: longest wait; 0 for none.

        Raises:
            RedisError: as the client does; on a cluster only where no other node had anything.
        """
        if not isinstance(self._client, ClusterClient):
            return await self._one(dict(marks), count, block_s)
        by_slot: dict[int, dict[str, str]] = {}
        for name, mark in marks.items():
            by_slot.setdefault(key_slot(name.encode()), {})[name] = mark
        await self._drop({slot for slot, (_, old) in self._asked.items() if by_slot.get(slot) != old})
        fresh = []
        for slot, wanted in by_slot.items():
            if slot not in self._asked:
                task = asyncio.create_task(self._one(wanted, count, block_s))
                self._asked[slot] = (task, wanted)
                fresh.append(task)
        if block_s:
            await asyncio.wait(
                [task for task, _ in self._asked.values()], return_when=asyncio.FIRST_COMPLETED
            )
        elif fresh:
            await asyncio.wait(fresh)
        return self._collect()

    async def close(self) -> None:
        """End the reads that still wait."""
        await self._drop(set(self._asked))

    async def _one(self, marks: dict[str, str], count: int, block_s: float) -> Rows:
        block_ms = max(1, round(block_s * 1000)) if block_s > 0 else None  # 0 would mean for ever
        block = ("BLOCK", block_ms) if block_ms else ()
        words = ("COUNT", count, *block, "STREAMS", *marks.keys(), *marks.values())
        ask: Any = self._client.execute_command  # untyped
        reply = await ask("XREAD", *words, as_sent=True)
        pairs = reply.items() if isinstance(reply, dict) else reply or ()
        return [(name.decode(), rows) for name, rows in pairs]

    def _collect(self) -> Rows:
        found: Rows = []
        failed: BaseException | None = None
        for slot, (task, _) in list(self._asked.items()):
            if not task.done():
                continue
            del self._asked[slot]
            if (error := task.exception()) is not None:
                failed = error
            else:
                found += task.result()
        if failed is not None and not found:
            raise failed
        return found

    async def _drop(self, slots: Sequence[int] | set[int]) -> None:
        tasks = [self._asked.pop(slot)[0] for slot in list(slots)]
        await end_all(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # known to nobody else; not to be warned of
