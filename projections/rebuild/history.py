"""The facts once more: from the archive in the order of the streams, and what the streams hold of them."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg

from ops.redis import Client, translated
from projections.archive import restored
from projections.batch import Fact, Position, StreamName, fact_of
from schema.keys import Keys

# Each COPY leaves up to 63 pages of its table empty: Postgres lets a table grow by up to 64 at once, and only
# VACUUM finds those left over. Of 2,000 entries at a time they are a third of `webhook_events`, of these 4 %.
CHUNK = 10_000
_BEGINNING = datetime.min.replace(tzinfo=UTC)

# By time over all streams, so that what belongs to one event comes close together; within a millisecond the
# webhook before what followed from it, then by sequence.
_LOG = """
SELECT l.partition, l.stream, l.entry_id, l.type, l.event_id, l.lead_id, l.hook_action, l.fields, l.payload
FROM public.event_log l {restriction}
ORDER BY l.recorded_at, l.stream DESC, length(l.entry_id), l.entry_id
"""
_NEWER = """
LEFT JOIN unnest($1::smallint[], $2::text[], $3::timestamptz[]) AS seen(partition, stream, until)
    ON seen.partition = l.partition AND seen.stream = l.stream
WHERE l.recorded_at >= $4 AND (seen.until IS NULL OR l.recorded_at >= seen.until)
"""
_KNOWN = """
SELECT entry_id FROM public.event_log
WHERE recorded_at = ANY($1::timestamptz[]) AND partition = $2 AND stream = $3 AND entry_id = ANY($4::text[])
"""


class History:
    """Reads the archive in passes: each yields what the passes before it have not seen.

    A pass may repeat the last millisecond of each stream: meeting a fact again changes nothing.
    """

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self._until: dict[Position, datetime] = {}

    async def chunks(self) -> AsyncIterator[list[Fact]]:
        """What the archive holds now and did not in the last pass."""
        cursor = await (self._newer() if self._until else self._conn.cursor(_LOG.format(restriction="")))
        while rows := await cursor.fetch(CHUNK):
            facts = [restored(dict(row)) for row in rows]
            for fact in facts:
                self._until[fact.partition, fact.stream] = fact.recorded_at
            yield facts

    async def _newer(self) -> "asyncpg.cursor.Cursor[asyncpg.Record]":
        known = await self._conn.fetch("SELECT DISTINCT partition, stream FROM public.projection_checkpoints")
        fresh = {(row["partition"], row["stream"]) for row in known} - set(self._until)
        least = _BEGINNING if fresh else min(self._until.values())
        partitions, streams = ([place[n] for place in self._until] for n in (0, 1))
        times = list(self._until.values())
        return await self._conn.cursor(_LOG.format(restriction=_NEWER), partitions, streams, times, least)


async def unarchived(
    conn: asyncpg.Connection, client: Client, until: Mapping[Position, str], horizon: datetime | None
) -> AsyncIterator[list[Fact]]:
    """Entries up to the checkpoints that the streams hold and the archive does not: there must be none.

    Args:
        conn: Postgres, in the transaction that ``until`` was read in.
        client: Redis.
        until: the checkpoint of each stream.
        horizon: what retention took is older than this.

    Raises:
        StorageUnavailable: Redis is away.
    """
    for (partition, stream), last in until.items():
        after = "-"
        while True:
            with translated("reading the streams"):
                rows: Any = await client.xrange(_key(partition, stream), after, last, count=CHUNK)
            facts = [fact_of(partition, stream, i.decode(), fields) for i, fields in rows]
            times = sorted({fact.recorded_at for fact in facts})
            ids = [fact.entry_id for fact in facts]
            known = {row["entry_id"] for row in await conn.fetch(_KNOWN, times, partition, stream, ids)}
            missing = [
                f for f in facts if f.entry_id not in known and (not horizon or f.recorded_at >= horizon)
            ]
            if missing:
                yield missing
            if len(rows) < CHUNK:
                break
            after = f"({ids[-1]}"


def _key(partition: int, stream: StreamName) -> str:
    keys = Keys(partition)
    return keys.webhooks if stream == "webhooks" else keys.outcomes
