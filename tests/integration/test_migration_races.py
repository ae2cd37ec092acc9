"""Migrations beside others at work: what is applied is on record, and a month is opened by one of many."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from ops.migrate import Migration, migrate


async def test_what_cannot_be_recorded_is_not_applied(database_url):
    """A file and its line in `schema_migrations` are one transaction: nothing stays that nobody knows of."""
    twice = [Migration("001_a", "CREATE TABLE a ()"), Migration("001_a", "CREATE TABLE b ()")]
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(database_url, twice)
    conn = await asyncpg.connect(database_url)
    assert await conn.fetchval("SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NULL")
    await conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await conn.close()


async def test_two_writers_may_open_the_same_month(database_url):
    """A migration and a projector that need one month at once both go on."""
    await migrate(database_url)
    month = datetime(2031, 1, 31, 23, 30, tzinfo=UTC)
    writers = [await asyncpg.connect(database_url) for _ in range(4)]
    await asyncio.gather(*(w.execute("SELECT ensure_event_log_partitions($1, 6)", month) for w in writers))
    rows = await writers[0].fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'event_log'::regclass"
    )
    names = {row["name"] for row in rows if "2031" in row["name"]}
    assert names == {f"event_log_2031_{m:02}" for m in range(1, 7)}
    for writer in writers:
        await writer.close()
