"""Recover: put back into Redis what Postgres knows was accepted and Redis has lost.

Postgres is authoritative on what was accepted and what is final, Redis on what is in its streams. An
unfinished event whose newest entry is in no stream goes back to work as a replay: same event id, and the
lead is read before anything is sent. Dedup keys come back for every event young enough. Running it twice, or
twice at once, is harmless: the replay script itself looks whether the entry is still lost.

A processor that finds stream or group gone does the same for its partition, but for the dedup keys: the group
begins again at the oldest entry that may be unfinished (`group_start`), never at the stream's end.

Limit: a webhook that was lost before the projector archived it is known to nobody.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from ops.postgres import translated
from ops.redis import Client, run
from ops.redis import translated as redis_translated
from ops.settings import Settings
from ops.unprojected import position, read_tail
from schema import replaying
from schema.events import EventIgnored, EventReplayed, LeadDeadLettered, LeadProcessed, WebhookAccepted
from schema.identity import dedup_key
from schema.keys import GROUP, Keys

log = structlog.get_logger()

VANISHED = "its entry vanished from the stream"  # the reason of such a replay; alerts look for it

# The newest entry of each unfinished event, oldest first: the order in which they go back to work.
_UNFINISHED = """
SELECT w.id::text AS event_id, w.lead_id, w.hook_action, w.version, w.received_at, l.payload, l.entry_id,
    l.partition
FROM webhook_events w
JOIN LATERAL (
    SELECT payload, entry_id, partition FROM event_log
    WHERE event_id = w.id AND stream = 'webhooks'
    ORDER BY recorded_at DESC, length(entry_id) DESC, entry_id DESC LIMIT 1
) l ON TRUE
WHERE w.status IN ('received', 'processing') AND ($1::int IS NULL OR l.partition = $1)
  AND NOT EXISTS (SELECT FROM erased_events x WHERE x.event_id = w.id)
ORDER BY w.received_at, w.id
"""

# Where reading may begin: before the oldest entry of an unfinished event, and not after the checkpoints, for
# of what comes after them nothing is known.
_FIRST = """
WITH oldest AS (
    SELECT split_part(l.entry_id, '-', 1)::bigint AS ms, split_part(l.entry_id, '-', 2)::bigint AS seq
    FROM webhook_events w
    JOIN LATERAL (
        SELECT entry_id, partition FROM event_log
        WHERE event_id = w.id AND stream = 'webhooks'
        ORDER BY recorded_at DESC, length(entry_id) DESC, entry_id DESC LIMIT 1
    ) l ON l.partition = $1
    WHERE w.status IN ('received', 'processing')
    ORDER BY 1, 2 LIMIT 1
)
SELECT max(entry_id) FILTER (WHERE stream = 'webhooks') AS webhooks,
    max(entry_id) FILTER (WHERE stream = 'outcomes') AS outcomes,
    (SELECT ms FROM oldest) AS ms, (SELECT seq FROM oldest) AS seq
FROM projection_checkpoints WHERE name = 'main' AND partition = $1
"""

_BY_ENTRY = """
SELECT w.id::text AS event_id, w.lead_id, w.hook_action, w.version, w.received_at, l.payload, l.entry_id,
    l.partition
FROM event_log l JOIN webhook_events w ON w.id = l.event_id
WHERE l.stream = 'webhooks' AND l.partition = $1 AND l.entry_id = ANY($2)
  AND l.recorded_at = ANY(SELECT to_timestamp(split_part(e, '-', 1)::bigint / 1000.0) FROM unnest($2) AS e)
  AND w.status IN ('received', 'processing')
  AND NOT EXISTS (SELECT FROM erased_events x WHERE x.event_id = w.id)
ORDER BY w.received_at, w.id
"""

_KEYS = """
SELECT w.id::text || CASE WHEN x.event_id IS NULL THEN '' ELSE '|erased' END AS event_id, w.lead_id,
    w.hook_action, coalesce(w.version, '') AS version
FROM webhook_events w LEFT JOIN erased_events x ON x.event_id = w.id
WHERE w.received_at > NOW() - make_interval(secs => $1)
"""
_CHUNK = 500
_LAST_SEQUENCE = 2**64 - 1


@dataclass(slots=True)
class Recovered:
    """What was put back."""

    events: int = 0
    dedup_keys: int = 0


class Recovery:
    """Reads the record and mends Redis."""

    def __init__(self, client: Client, pool: asyncpg.Pool, settings: Settings) -> None:
        self._client = client
        self._pool = pool
        self._settings = settings

    async def run(self) -> Recovered:
        """Restore all that was lost.

        Raises:
            StorageUnavailable: Redis or Postgres is away; what was restored stays restored.
        """
        done = Recovered()
        done.events = await self._replay_lost(None)
        async for rows in self._chunks(_KEYS, float(self._settings.dedup_ttl_secs)):
            done.dedup_keys += await self._restore_keys(rows)
        return done

    async def restore_partition(self, partition: int) -> int:
        """Put back the unfinished events of one partition whose entries are lost; how many.

        Raises:
            StorageUnavailable: as `run`.
        """
        return await self._replay_lost(partition)

    async def group_start(self, partition: int) -> str:
        """The entry id after which a group made anew must read, so that nothing unfinished is passed over.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        with translated("looking for the oldest unfinished event"):
            row = await self._pool.fetchrow(_FIRST, partition)
        if row is None or row["webhooks"] is None or row["outcomes"] is None:
            return "0"
        # A replay is an entry and an outcome of the same millisecond: both must be known.
        places = [position(row["webhooks"]), (position(row["outcomes"])[0] - 1, 0)]
        if row["ms"] is not None:
            places.append((row["ms"], row["seq"] - 1) if row["seq"] else (row["ms"] - 1, _LAST_SEQUENCE))
        ms, sequence = min(places)
        return f"{ms}-{sequence}"

    async def restore_entries(self, partition: int, entry_ids: Sequence[str]) -> list[str]:
        """Put the events of lost entries back to work; the event ids.

        Raises:
            StorageUnavailable: as `run`.
        """
        with translated("finding lost entries in the archive"):
            rows = await self._pool.fetch(_BY_ENTRY, partition, list(entry_ids))
        for row in rows:
            await self._replay(row, VANISHED)
        return [row["event_id"] for row in rows]

    async def _ended(self) -> set[str]:
        """Events whose end the record does not know yet: their entry may be trimmed, their work is done."""
        with translated("reading the checkpoints"):
            rows = await self._pool.fetch("SELECT partition, stream, entry_id FROM projection_checkpoints")
        checkpoints = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
        kinds = (LeadProcessed, LeadDeadLettered, EventIgnored, EventReplayed)
        tail, _ = await read_tail(
            self._client, self._settings.partitions.served, checkpoints, lambda e: isinstance(e, kinds)
        )
        ended: set[str] = set()
        for event in (fact.event for fact in tail):
            (ended.discard if isinstance(event, EventReplayed) else ended.add)(event.event_id)
        return ended

    async def _replay_lost(self, partition: int | None) -> int:
        ended = await self._ended()
        count = 0
        async for row in self._rows(_UNFINISHED, partition):
            if row["event_id"] not in ended:
                count += await self._replay(row, "recovered")
        return count

    async def _replay(self, row: asyncpg.Record, reason: str) -> bool:
        """Put an event back to work; False where its entry is not lost, or was made good before.

        It goes to its lead's home. Where that has changed since, the old place is looked at first.
        """
        s, keys, lost = self._settings, self._keys(row["lead_id"]), row["entry_id"]
        if row["partition"] != keys.partition:
            if await self._has(row["partition"], lost):
                return False
            lost = replaying.ELSEWHERE
        event = WebhookAccepted(
            event_id=row["event_id"],
            lead_id=row["lead_id"],
            action=row["hook_action"],
            version=row["version"] or "",
            source="replay",
            received_at=row["received_at"],
            payload=row["payload"],
        )
        call = replaying.replay(
            keys,
            event,
            dedup_key(event.lead_id, event.action, event.version),
            dedup_ttl_s=s.dedup_ttl_secs,
            steps_ttl_s=s.steps_ttl_secs,
            instance=s.instance,
            reason=reason,
            lost=lost,
        )
        if not await run(self._client, call):
            return False
        log.info("event.recovered", event_id=event.event_id, lead_id=event.lead_id, reason=reason)
        return True

    async def _has(self, partition: int, entry_id: str) -> bool:
        with redis_translated("looking for an entry"):
            return bool(await self._client.xrange(Keys(partition).webhooks, entry_id, entry_id))

    async def _restore_keys(self, rows: Sequence[asyncpg.Record]) -> int:
        with redis_translated("restoring dedup keys"):
            async with self._client.pipeline(transaction=False) as pipe:
                for row in rows:
                    key = dedup_key(row["lead_id"], row["hook_action"], row["version"])
                    name = self._keys(row["lead_id"]).dedup(key)
                    pipe.set(name, row["event_id"], nx=True, ex=self._settings.dedup_ttl_secs)
                return sum(1 for made in await pipe.execute() if made)

    def _keys(self, lead_id: str) -> Keys:
        return Keys(self._settings.partitions.home(lead_id))

    async def _rows(self, query: str, *args: object) -> AsyncIterator[asyncpg.Record]:
        async for rows in self._chunks(query, *args):
            for row in rows:
                yield row

    async def _chunks(self, query: str, *args: object) -> AsyncIterator[Sequence[asyncpg.Record]]:
        with translated("reading the record"):
            async with self._pool.acquire() as conn, conn.transaction():
                cursor = await conn.cursor(query, *args)
                while rows := await cursor.fetch(_CHUNK):
                    yield rows


async def mark_read(client: Client, keys: Keys, steps_ttl_s: int) -> None:
    """Note the stream's last entry before its group is made anew: up to there some may have been worked off.

    For those the lead is read before anything is sent. On a new system nothing was: no outcome is there yet.
    """
    last: Any = await client.xrevrange(keys.webhooks, count=1)
    if last and await client.exists(keys.outcomes):
        await client.set(keys.regrouped, last[0][0], ex=steps_ttl_s)


async def ensure_groups(client: Client, partitions: int, steps_ttl_s: int) -> None:
    """Create streams and groups that are missing, so that nothing restored waits for a processor's start."""
    for partition in range(partitions):
        with redis_translated("looking for the consumer group"):
            stream = Keys(partition).webhooks
            groups = await client.xinfo_groups(stream) if await client.exists(stream) else []
            if not any(group["name"] == GROUP.encode() for group in groups):
                await mark_read(client, Keys(partition), steps_ttl_s)
                await client.xgroup_create(stream, GROUP, "0", mkstream=True)
