"""Append: the one way into the stream, for the door, the old trigger, reconcile and the spool's drain.

Concurrent callers share a round trip (`Batcher`). A call whose reply was lost is made once more with
``again``, which the script answers without appending twice. Only then does it count as *Redis is away*.

While the number of partitions is being changed, a webhook may be known in the place that its lead has by the
other number: that place is looked at first, and a repeat is noted there. Two processes that take the same
webhook at the same moment, one by each number, both accept it; `processor.elsewhere` sees to it that the
second is read before it is sent.
"""

from collections import defaultdict
from collections.abc import Sequence

import structlog

from ops.batcher import Batcher
from ops.crashpoints import reached
from ops.durable import Durability
from ops.redis import Client, RedisRefused, run, translated
from schema import calls
from schema.calls import Appended, Appending
from schema.errors import StorageUnavailable
from schema.identity import Partitions
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
        other: int = 0,
        dedup_ttl_s: int,
        instance: str,
        durability: Durability | None = None,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            client: of Redis.
            partitions: by which number leads are placed.
            other: the number before or after, while it is being changed; 0 while it is not.
            dedup_ttl_s: how long a repeat is known as one.
            instance: who appends.
            durability: what must hold before an append counts; None asks for nothing.
        """
        self._client = client
        self._durability = durability
        self._partitions = Partitions(partitions, other)
        self._whole = self._partitions.served == 1
        self._dedup_ttl_s = dedup_ttl_s
        self._instance = instance
        self._batchers: dict[int, Batcher[Appending, Appended]] = {}

    async def append(self, item: Appending) -> Appended:
        """Store one webhook, or find that it was stored before.

        Raises:
            StorageUnavailable: Redis is away or refuses to write. The webhook may still have been stored
                (its reply was lost twice); appending it again later is safe.
        """
        partition = self._partitions.home(item.event.lead_id)
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
        if self._whole and len(items) <= _MOST_PER_CALL:
            return await self._flush(items, again=again) if items else []
        by_partition: dict[int, list[int]] = defaultdict(list)
        for n, item in enumerate(items):
            by_partition[self._partitions.home(item.event.lead_id)].append(n)
        results: dict[int, Appended] = {}
        for indexes in by_partition.values():
            for start in range(0, len(indexes), _MOST_PER_CALL):
                chunk = indexes[start : start + _MOST_PER_CALL]
                done = await self._flush([items[n] for n in chunk], again=again)
                results.update(zip(chunk, done, strict=True))
        return [results[n] for n in range(len(items))]

    async def _flush(self, items: Sequence[Appending], *, again: bool = False) -> list[Appended]:
        """Store webhooks of leads that share a home."""
        try:
            return await self._store(items, again=again)
        except RedisRefused:
            raise
        except StorageUnavailable:
            log.warning("append.retried", webhooks=len(items))
            return await self._store(items, again=True)

    async def _store(self, items: Sequence[Appending], *, again: bool) -> list[Appended]:
        home = self._partitions.home(items[0].event.lead_id)
        known = await self._known_elsewhere(items) if self._partitions.other else {}
        if not known:
            return await self._call(home, items, again=again)
        results: dict[int, Appended] = {}
        for place in sorted(set(known.values())):
            there = [n for n in known if known[n] == place]
            done = await self._call(place, [items[n] for n in there], again=again, only_known=True)
            # One without an event id lapsed there since we looked, so it is new here.
            results |= {n: one for n, one in zip(there, done, strict=True) if one.event_id}
        rest = [n for n in range(len(items)) if n not in results]
        if rest:
            done = await self._call(home, [items[n] for n in rest], again=again)
            results |= dict(zip(rest, done, strict=True))
        return [results[n] for n in range(len(items))]

    async def _known_elsewhere(self, items: Sequence[Appending]) -> dict[int, int]:
        """Which items are known in their lead's other place only, and which one that is."""
        places = [(n, self._partitions.places(item.event.lead_id)) for n, item in enumerate(items)]
        asked = [(n, place) for n, either in places if len(either) > 1 for place in reversed(either)]
        if not asked:
            return {}
        with translated("looking for dedup keys"):
            async with self._client.pipeline(transaction=False) as pipe:
                for n, place in asked:
                    pipe.exists(Keys(place).dedup(items[n].dedup_key))
                there = await pipe.execute()
        # The home comes last, so where both know it the home counts.
        found = {n: place for (n, place), known in zip(asked, there, strict=True) if known}
        return {
            n: place for n, place in found.items() if place != self._partitions.home(items[n].event.lead_id)
        }

    async def _call(
        self, partition: int, items: Sequence[Appending], *, again: bool, only_known: bool = False
    ) -> list[Appended]:
        keys = Keys(partition)
        call = calls.append(
            keys,
            items,
            dedup_ttl_s=self._dedup_ttl_s,
            instance=self._instance,
            again=again,
            only_known=only_known,
        )
        reached("append.before")
        if self._durability is None:
            reply = await run(self._client, call)
        else:
            reply = await self._durability.run(self._client, call)
        reached("append.after")
        return calls.read_append(reply)
