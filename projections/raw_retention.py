"""Raw payloads are kept RAW_RETENTION_HOURS, then dropped from streams and tables; the facts stay.

A task of the active projector, hourly, over short-lived connections of its own. An event's own payloads go
all at once, from the archive and from its row, when it has ended and the newest of them is old enough: so a
rebuild gives the same rows. A repeat's payload goes by its own age. Unfinished events keep theirs: their work
may have to be put back into Redis from the archive. Dead letters in Redis keep theirs until RETENTION_DAYS: a
replay needs it.

While a rebuild runs, nothing is dropped: it holds the lock that each batch here asks for.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from ops.postgres import connect, translated
from ops.redis import Client, command_client, run
from ops.settings import Settings
from projections import checkpoint
from projections.batch import Position
from projections.rebuild.run import LOCK
from schema.errors import StorageUnavailable
from schema.keys import Keys
from schema.trimming import read_trim, trim

log = structlog.get_logger()

_EVERY_S = 3600.0
_AGAIN_S = 300.0
BATCH = 1_000
_START = (datetime(1970, 1, 1, tzinfo=UTC), -1, "", "")
_ALL = 10**12

# Oldest first, by the index of what still has a payload, each batch from where the one before ended: whatever
# must stay is looked at once a round, and what was dropped long ago not at all.
_OLD = """
SELECT recorded_at, partition, stream, entry_id, event_id FROM event_log
WHERE payload IS NOT NULL AND recorded_at < $1 AND type <> 'webhook_duplicated'
    AND recorded_at >= $3 AND (recorded_at, partition, stream, entry_id) > ($3, $4, $5, $6)
ORDER BY recorded_at, partition, stream, entry_id LIMIT $2
"""
_ENDED = """
SELECT w.id FROM webhook_events w
WHERE w.id = ANY($2::uuid[]) AND w.status IN ('success', 'failed')
    AND NOT EXISTS (SELECT FROM event_log n WHERE n.event_id = w.id AND n.payload IS NOT NULL
        AND n.type <> 'webhook_duplicated' AND n.recorded_at >= $1)
"""
_DROP = """
UPDATE event_log SET payload = NULL
WHERE event_id = ANY($1::uuid[]) AND payload IS NOT NULL AND type <> 'webhook_duplicated'
"""
_DROP_ROWS = "UPDATE webhook_events SET raw_payload = NULL WHERE id = ANY($1::uuid[])"
_DROP_REPEATS = """
WITH old AS (
    SELECT recorded_at, partition, stream, entry_id FROM event_log
    WHERE payload IS NOT NULL AND recorded_at < $1 AND type = 'webhook_duplicated'
    ORDER BY recorded_at LIMIT $2
), dropped AS (
    UPDATE event_log l SET payload = NULL FROM old
    WHERE (l.recorded_at, l.partition, l.stream, l.entry_id)
        = (old.recorded_at, old.partition, old.stream, old.entry_id)
    RETURNING l.partition, l.entry_id
)
UPDATE webhook_duplicates d SET payload = '' FROM dropped
WHERE d.partition = dropped.partition AND d.entry_id = dropped.entry_id
"""
# Drained long ago: their webhooks have a place in the archive, and lose their payload there.
_DROP_SPOOLED = "UPDATE ingress_spool SET payload = '' WHERE drained_at < $1 AND payload <> ''"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What lost its payload: events, repeats; and entries that left the streams."""

    events: int = 0
    repeats: int = 0
    entries: int = 0


async def keep_raw(settings: Settings) -> None:
    """Drop what is over its retention for as long as it runs; faults are told and tried again."""
    while settings.raw_retention_hours:
        pause_s = _EVERY_S
        try:
            await drop_old(settings, time.time())
        except (StorageUnavailable, asyncpg.PostgresError, OSError, TimeoutError) as error:
            log.warning("payloads.drop_failed", kind=type(error).__name__)
            pause_s = _AGAIN_S
        await asyncio.sleep(pause_s)
    await asyncio.Event().wait()  # nothing to do, for as long as the others run


async def drop_old(settings: Settings, now_s: float) -> Dropped:
    """Drop once what is over its retention by ``now_s`` (epoch).

    Raises:
        StorageUnavailable: Postgres or Redis is away.
    """
    cutoff_s = now_s - timedelta(hours=settings.raw_retention_hours).total_seconds()
    conn = await connect(settings, application_name=f"c2s-payloads-{settings.instance}")
    client = command_client(settings.redis_url.get_secret_value())
    try:
        with translated("dropping payloads"):
            done = await drop_recorded(conn, datetime.fromtimestamp(cutoff_s, UTC))
            checkpoints = await checkpoint.load(conn)
        entries = 0
        for partition in range(settings.partitions.served):
            entries += await _drop_streamed(client, settings, partition, checkpoints, round(cutoff_s * 1000))
    finally:
        await conn.close(timeout=5)
        await client.aclose()
    found = Dropped(done.events, done.repeats, entries)
    if found != Dropped():
        log.info("payloads.dropped", events=found.events, repeats=found.repeats, entries=found.entries)
    return found


async def drop_recorded(conn: asyncpg.Connection, cutoff: datetime) -> Dropped:
    """Drop from archive and tables, batch by batch, what is older than ``cutoff``."""
    events = repeats = 0
    place = _START
    while True:
        async with conn.transaction():
            if not await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return Dropped(events, repeats)  # a rebuild runs; the next round makes up for it
            old = await conn.fetch(_OLD, cutoff, BATCH, *place)
            ended = await conn.fetch(_ENDED, cutoff, list({row["event_id"] for row in old}))
            ids = [row["id"] for row in ended]
            await conn.execute(_DROP, ids)
            await conn.execute(_DROP_ROWS, ids)
            some = int((await conn.execute(_DROP_REPEATS, cutoff, BATCH)).rpartition(" ")[2])
            await conn.execute(_DROP_SPOOLED, cutoff)
        events, repeats = events + len(ids), repeats + some
        if not old and not some:
            return Dropped(events, repeats)
        if old:
            place = tuple(old[-1])[:4]


async def _drop_streamed(
    client: Client,
    settings: Settings,
    partition: int,
    checkpoints: dict[Position, str],
    cutoff_ms: int,
) -> int:
    """Entries older than the cutoff, as far as they are archived and done with; how many."""
    call = trim(
        Keys(partition),
        keep=settings.trim_keep or _ALL,
        webhooks=checkpoints.get((partition, "webhooks"), ""),
        outcomes=checkpoints.get((partition, "outcomes"), ""),
        old_webhooks=f"{cutoff_ms}-0",
        old_outcomes=f"{cutoff_ms}-0",
    )
    taken = 0
    while True:
        done = read_trim(await run(client, call))
        if not done.webhooks + done.outcomes:
            return taken
        taken += done.webhooks + done.outcomes
