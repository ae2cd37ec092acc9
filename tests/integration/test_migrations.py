"""The migrations and their runner on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from ops.migrate import Migration, migrate, migrations, pending
from ops.postgres import connect, create_pool, translated
from ops.settings import Settings
from schema.errors import MigrationError, StorageUnavailable

SEED_COLUMNS = [
    ("id", "uuid"),
    ("lead_id", "text"),
    ("hook_action", "text"),
    ("received_at", "timestamp with time zone"),
    ("processed_at", "timestamp with time zone"),
    ("status", "text"),
    ("error_message", "text"),
    ("retry_count", "integer"),
    ("raw_payload", "jsonb"),
]
ALL = [m.version for m in migrations()]
AWAY = Settings(database_url="postgresql://postgres@127.0.0.1:1/none")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database_url)
    await conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield conn
    await conn.close()


async def test_migrating_twice_applies_once(db, database_url):
    """All that is pending is applied in order; then nothing is pending and nothing is applied."""
    assert await pending(db) == ALL
    assert await migrate(database_url) == ALL
    assert await pending(db) == []
    assert await migrate(database_url) == []


async def test_concurrent_runs_apply_each_migration_once(db, database_url):
    """Four runners at once share the work without a fault."""
    applied = await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    assert sorted(applied) == [[], [], [], ALL]
    assert await db.fetchval("SELECT count(*) FROM schema_migrations") == len(ALL)


async def test_a_changed_or_missing_migration_stops_the_runner(db, database_url):
    """History that does not match the files is named, and nothing is changed."""
    first, second = Migration("001_a", "CREATE TABLE a ()"), Migration("002_b", "CREATE TABLE b ()")
    await migrate(database_url, [first])
    with pytest.raises(MigrationError, match="001_a was changed"):
        await migrate(database_url, [Migration("001_a", "CREATE TABLE c ()"), second])
    with pytest.raises(MigrationError, match=r"001_a .*missing"):
        await migrate(database_url, [second])
    assert await db.fetchval("SELECT to_regclass('b') IS NULL AND to_regclass('c') IS NULL")


async def test_a_failing_migration_leaves_nothing_of_itself(db, database_url):
    """The ones before it stay; its own statements are undone, so that a mended file can be applied."""
    good, bad = (
        Migration("001_a", "CREATE TABLE a ()"),
        Migration("002_b", "CREATE TABLE b (); SELECT no_such()"),
    )
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await migrate(database_url, [good, bad])
    assert await db.fetchval("SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NULL")
    assert await migrate(database_url, [good, Migration("002_b", "CREATE TABLE b ()")]) == ["002_b"]


async def test_webhook_events_begins_with_the_seeds_columns_and_indexes(db, database_url):
    """The seed's queries run verbatim: its nine columns come first, its three indexes exist."""
    await migrate(database_url)
    rows = await db.fetch(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_name = 'webhook_events' ORDER BY ordinal_position LIMIT 9"
    )
    assert [tuple(row) for row in rows] == SEED_COLUMNS
    indexes = {
        row["indexname"]: row["indexdef"]
        for row in await db.fetch("SELECT * FROM pg_indexes WHERE tablename = 'webhook_events'")
    }
    assert indexes["idx_webhook_events_received_at"].endswith("(received_at DESC)")
    assert {"idx_webhook_events_lead_id", "idx_webhook_events_status"} <= set(indexes)


async def test_every_table_and_column_is_described(db, database_url):
    """A person in psql finds a comment on everything that the migrations made."""
    await migrate(database_url)
    silent = await db.fetch(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND a.attnum > 0 AND NOT a.attisdropped"
        " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    )
    assert silent == []


async def test_months_get_partitions_and_the_rest_goes_to_the_default(db, database_url):
    """This month and the next two are open after migrating; opening again, at once and late, is harmless."""
    await migrate(database_url)
    made = await db.fetch(
        "SELECT inhrelid::regclass::text AS t FROM pg_inherits"
        " WHERE inhparent = 'event_log'::regclass ORDER BY 1"
    )
    names = [row["t"] for row in made if row["t"].startswith("event_log_2")]
    assert len(names) == 3
    assert names[0] == datetime.now(UTC).strftime("event_log_%Y_%m")
    late = datetime(2031, 5, 20, tzinfo=UTC)
    await db.execute(
        "INSERT INTO event_log (recorded_at, partition, stream, entry_id, type, fields)"
        " VALUES ($1, 0, 'webhooks', '1-0', 'x', '{}')",
        late,
    )
    await db.execute("SELECT ensure_event_log_partitions($1, 2)", late)
    assert await db.fetchval("SELECT count(*) FROM event_log_default") == 1
    assert await db.fetchval("SELECT to_regclass('event_log_2031_06') IS NOT NULL")


async def test_a_postgres_that_is_away_is_said_so():
    """Connecting raises `StorageUnavailable`; an empty pool opens all the same and says so when used."""
    with pytest.raises(StorageUnavailable):
        await connect(AWAY, application_name="test")
    pool = await create_pool(AWAY, min_size=0, max_size=2, application_name="test")
    with pytest.raises(StorageUnavailable), translated("reading"):
        await pool.fetchval("SELECT 1")
    pool.terminate()


async def test_an_ended_connection_is_unavailable_but_a_wrong_argument_is_not(db, database_url):
    """Time mends a connection that an administrator ended; it does not mend our own mistakes."""
    other = await asyncpg.connect(database_url)
    await db.execute("SELECT pg_terminate_backend($1)", other.get_server_pid())
    with pytest.raises(StorageUnavailable), translated("reading"):
        await other.fetchval("SELECT 1")
    with pytest.raises(asyncpg.DataError), translated("reading"):
        await db.fetchval("SELECT $1::int", "one")
