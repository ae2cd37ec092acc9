"""Upkeep of the archive: partitions made ahead of time, and dropped when RETENTION_DAYS are over.

Done when a projector becomes the active one and then every few hours, over a short-lived connection of its
own; Redis is not asked. Locks are waited for briefly, so that the archive is never held up by its upkeep.
An entry of a month without a partition goes to `event_log_default`: it never stops the projector.
"""

import asyncio
from datetime import datetime

import asyncpg
import structlog

from ops.postgres import connect, translated
from ops.settings import Settings
from schema.errors import StorageUnavailable

log = structlog.get_logger()

_MONTHS_AHEAD = 3
_EVERY_S = 6 * 3600.0
_AGAIN_S = 600.0

# Whole months that ended before the retention began, oldest first.
_OLD = """
SELECT name, upper FROM (
    SELECT c.relname AS name,
        (to_date(right(c.relname, 7), 'YYYY_MM') + INTERVAL '1 month')::timestamp AT TIME ZONE 'UTC' AS upper
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.event_log'::regclass AND c.relname ~ '^event_log_[0-9]{4}_[0-9]{2}$'
) AS months
WHERE upper <= NOW() - make_interval(days => $1) ORDER BY upper
"""
# Work that is not done yet may have to be put back into Redis from here.
_NEEDED = """
SELECT EXISTS (SELECT 1 FROM webhook_events w WHERE w.status IN ('received', 'processing')
    AND EXISTS (SELECT 1 FROM {name} l WHERE l.event_id = w.id AND l.stream = 'webhooks'))
"""
_DROPPED = """
INSERT INTO event_log_dropped AS d (partition_name, before, entries) VALUES ($1, $2, $3)
ON CONFLICT (partition_name) DO UPDATE SET before = greatest(d.before, excluded.before),
    entries = d.entries + excluded.entries, dropped_at = NOW()
"""
# Where no month was foreseen: an entry with a forged or very late id, or one from before the first migration.
_DEFAULT = """
DELETE FROM event_log_default l WHERE recorded_at < $1 AND NOT EXISTS (SELECT 1 FROM webhook_events w
    WHERE w.id = l.event_id AND w.status IN ('received', 'processing'))
"""


async def keep_archive(settings: Settings) -> None:
    """Look after the archive for as long as it runs; faults are told and tried again."""
    while True:
        try:
            conn = await connect(settings, application_name=f"c2s-upkeep-{settings.instance}")
            try:
                with translated("looking after the archive"):
                    await look_after(conn, settings.retention_days)
            finally:
                await conn.close(timeout=5)
            pause_s = _EVERY_S
        except (StorageUnavailable, asyncpg.PostgresError, OSError, TimeoutError) as error:
            log.warning("archive.upkeep_failed", kind=type(error).__name__)
            pause_s = _AGAIN_S
        await asyncio.sleep(pause_s)


async def look_after(conn: asyncpg.Connection, retention_days: int) -> None:
    """Make partitions ahead, and drop those whose retention is over.

    Args:
        conn: Postgres.
        retention_days: 0 keeps everything.
    """
    await conn.execute("SET lock_timeout TO '3s'")
    await conn.execute("SELECT ensure_event_log_partitions(NOW(), $1)", _MONTHS_AHEAD)
    if not retention_days:
        return
    for row in await conn.fetch(_OLD, retention_days):
        async with conn.transaction():
            await _drop(conn, row["name"], row["upper"])
    async with conn.transaction():
        cutoff = await conn.fetchval(
            "SELECT date_trunc('month', NOW() - make_interval(days => $1), 'UTC')", retention_days
        )
        gone = int((await conn.execute(_DEFAULT, cutoff)).rpartition(" ")[2])
        if gone:
            await conn.execute(_DROPPED, "event_log_default", cutoff, gone)


async def _drop(conn: asyncpg.Connection, name: str, upper: datetime) -> None:
    if await conn.fetchval(_NEEDED.format(name=name)):
        log.warning("archive.partition_needed", partition=name)
        return
    entries = await conn.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608 -- matched in _OLD
    await conn.execute(f"DROP TABLE {name}")
    await conn.execute(_DROPPED, name, upper, entries)
    log.info("archive.partition_dropped", partition=name, entries=entries)
