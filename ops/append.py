"""Append: the one way into the stream, for the door, the old trigger, reconcile and the spool's drain.

Concurrent callers share a round trip (`Batcher`). A call whose reply was lost is made once more with
``again``, which the script answers without appending twice. Only then does it count as *Redis is away*.
"""

from collections import defaultdict
from collections.abc import Sequence

import structlog

from ops.batcher import Batcher
from ops.crashpoints import reached
from ops.durable import Durability
from ops.redis import Client, RedisRefused, run
from schema import calls
from schema.calls import Appended, Appending
from schema.errors import StorageUnavailable
from schema.identity import partition_of
from schema.keys import Keys

log = structlog.get_logger()

_MOST_PER_CALL = 64


class Appender:
    """Appends webhooks to their partition's stream, each exactly once."""

    def __init__(
        self,
        client: Client,
        *,
        partitions: int,
        dedup_ttl_s: int,
        instance: str,
        durability: Durability | None = None,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            client: of Redis.
            partitions: how many there are.
            dedup_ttl_s: how long a repeat is known as one.
            instance: who appends.
            durability: what must hold before an append counts; None asks for nothing.
        """
        self._client = client
        self._durability = durability
        self._partitions = partitions
        self._dedup_ttl_s = dedup_ttl_s
        self._instance = instance
        self._batchers: dict[int, Batcher[Appending, Appended]] = {}

    async def append(self, item: Appending) -> Appended:
        """Store one webhook, or find that it was stored before.

        Raises:
            StorageUnavailable: Redis is away or refuses to write. The webhook may still have been stored
                (its reply was lost twice); appending it again later is safe.
        """
        partition = partition_of(item.event.lead_id, self._partitions)
        batcher = self._batchers.get(partition)
        if batcher is None:
            batcher = self._batchers[partition] = Batcher(self._flush, most=_MOST_PER_CALL)
        return await batcher.submit(item)

    async def append_all(self, items: Sequence[Appending], *, again: bool = False) -> list[Appended]:
        """Store several in order (per partition), a round trip per batch; errors as in `append`.

        Args:
            items: the webhooks.
            again: these very deliveries may have been appended before, without a reply.
        """
        if self._partitions == 1 and len(items) <= _MOST_PER_CALL:
            return await self._flush(items, again=again) if items else []
        by_partition: dict[int, list[int]] = defaultdict(list)
        for n, item in enumerate(items):
            by_partition[partition_of(item.event.lead_id, self._partitions)].append(n)
        results: dict[int, Appended] = {}
        for indexes in by_partition.values():
            for start in range(0, len(indexes), _MOST_PER_CALL):
                chunk = indexes[start : start + _MOST_PER_CALL]
                done = await self._flush([items[n] for n in chunk], again=again)
                results.update(zip(chunk, done, strict=True))
        return [results[n] for n in range(len(items))]

    async def _flush(self, items: Sequence[Appending], *, again: bool = False) -> list[Appended]:
        try:
            return await self._call(items, again=again)
        except RedisRefused:
            raise
        except StorageUnavailable:
            log.warning("append.retried", webhooks=len(items))
            return await self._call(items, again=True)

    async def _call(self, items: Sequence[Appending], *, again: bool) -> list[Appended]:
        keys = Keys(partition_of(items[0].event.lead_id, self._partitions))
        call = calls.append(keys, items, dedup_ttl_s=self._dedup_ttl_s, instance=self._instance, again=again)
        reached("append.before")
        if self._durability is None:
            reply = await run(self._client, call)
        else:
            reply = await self._durability.run(self._client, call)
        reached("append.after")
        return calls.read_append(reply)
