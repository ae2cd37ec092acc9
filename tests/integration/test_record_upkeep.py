"""The record's upkeep on real servers: streams stay short, months come and go, nothing unarchived is lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from support_facts import KEYS, World

from ops.migrate import migrate
from ops.redis import Client, blocking_client
from ops.settings import Settings
from projections.projector import Projector, read_models
from projections.trimmer import Trimmer
from projections.upkeep import look_after
from scale.streams import streams
from schema.codec import PlainCodec
from schema.events import encode
from schema.keys import GROUP

MONTHS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'event_log'::regclass"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database_url)
    await conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrate(database_url)
    yield conn
    await conn.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    yield client
    await client.aclose()


async def test_streams_stay_short_and_the_archive_is_whole(db, redis):
    """However many entries pass, Redis holds the newest, the record holds all, and its memory stays flat.

    Of 12,000 webhooks with all that follows from them: after the last, Redis uses at most a tenth more memory
    than after the first 1,200. (`make scale` asks the same of 200,000 and 20,000.)
    """
    await redis.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    found = await streams(db, redis, 12_000)
    assert len(found["redis_bytes_after"]) == 10
    assert found["last_to_first"] < 1.1, found
    assert max(found["xlen"].values()) <= 900
    assert await db.fetchval("SELECT count(*) FROM event_log") == found["projected"] > 38_000
    assert await db.fetchval("SELECT count(*) FROM webhook_events") == 12_000


async def test_nothing_is_asked_of_an_idle_redis(db, redis):
    """Without entries there is no round; one comes with the first, and then once enough were projected."""
    trimmer = Trimmer(redis, Settings(), lambda: 0.0, every=100)

    async def scripts() -> int:
        stats = await redis.info("commandstats")
        return sum(row["calls"] for name, row in stats.items() if name.startswith("cmdstat_eval"))

    rounds = []
    for number in (0, 1, 0, 60, 0, 39, 1):
        before = await scripts()
        await trimmer.projected(number, {})
        rounds.append(await scripts() - before > 0)
    assert rounds == [False, True, False, False, False, False, True]


async def test_months_are_made_ahead_and_dropped_after_their_time(db):
    """Three months are open; a month whose retention is over goes, and the record remembers that it did."""
    await db.execute("SELECT ensure_event_log_partitions('2024-11-15', 2)")
    insert = (
        "INSERT INTO event_log (recorded_at, partition, stream, entry_id, type, fields)"
        " VALUES ($1, 0, 'outcomes', $2, 'x', '{}')"
    )
    await db.execute(insert, datetime(2024, 11, 20, tzinfo=UTC), "1-0")
    await db.execute(insert, datetime(2024, 9, 20, tzinfo=UTC), "2-0")  # to the default partition
    now = datetime.now(UTC)
    await db.execute(f"DROP TABLE event_log_{now:%Y_%m}")
    await look_after(db, 0)
    assert {f"event_log_{now:%Y_%m}", "event_log_2024_11"} <= {r["name"] for r in await db.fetch(MONTHS)}
    await look_after(db, 90)
    names = {row["name"] for row in await db.fetch(MONTHS)}
    assert not names & {"event_log_2024_11", "event_log_2024_12"}
    assert len(names) == 4  # three months and the default one
    assert await db.fetchval("SELECT count(*) FROM event_log") == 0
    dropped = {row["partition_name"]: row for row in await db.fetch("SELECT * FROM event_log_dropped")}
    assert dropped["event_log_2024_11"]["before"] == datetime(2024, 12, 1, tzinfo=UTC)
    assert dropped["event_log_2024_11"]["entries"] == dropped["event_log_default"]["entries"] == 1
    await look_after(db, 90)
    assert len(await db.fetch("SELECT * FROM event_log_dropped")) == len(dropped)


async def test_a_month_that_unfinished_work_needs_stays(db, redis):
    """What `c2s recover` would have to put back is kept until it has its end."""
    old = World(0, start_ms=-int(timedelta(days=400).total_seconds() * 1000))
    webhook = next(entry for entry in old.entries if entry[0] == KEYS.webhooks)
    await redis.xadd(webhook[0], encode(webhook[2]), id=webhook[1])
    made = Projector(db, redis, partitions=1, batch=500, models=read_models(PlainCodec()))
    assert await made.poll_once(0) == 1
    await look_after(db, 30)
    assert await db.fetchval("SELECT count(*) FROM event_log") == 1
    await db.execute("UPDATE webhook_events SET status = 'success'")
    await look_after(db, 30)
    assert await db.fetchval("SELECT count(*) FROM event_log") == 0


async def test_upkeep_gives_way_to_whoever_reads_the_archive(db, database_url):
    """A long reader of an old month costs the upkeep one failed try, not the projector its progress."""
    await db.execute("SELECT ensure_event_log_partitions('2024-11-15', 1)")
    reader = await asyncpg.connect(database_url)
    async with reader.transaction():
        await reader.fetchval("SELECT count(*) FROM event_log")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await asyncio.wait_for(look_after(db, 30), 20)
    await reader.close()
    await look_after(db, 30)
    assert await db.fetchval("SELECT to_regclass('event_log_2024_11') IS NULL")
