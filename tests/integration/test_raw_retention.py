"""Raw payloads past their retention are gone from streams and tables; facts and open work stay."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from support_engine import KEYS, World, projecting

from ops.seal import codec_of
from projections import raw_retention
from projections.models import models
from projections.raw_retention import drop_old, drop_recorded
from projections.rebuild.run import LOCK, Rebuild

LATER_S = timedelta(hours=73).total_seconds()


@pytest.fixture
async def db(world: World):
    conn = await asyncpg.connect(
        world.settings.database_url.get_secret_value(), server_settings={"timezone": "UTC"}
    )
    await conn.execute("TRUNCATE people, lead_people, data_keys, webhook_duplicates, attempts, ingress_spool")
    yield conn
    await conn.close()


def now_s() -> float:
    return datetime.now(UTC).timestamp()


async def held(conn: asyncpg.Connection) -> tuple[int, int, int]:
    return tuple(
        await conn.fetchrow(
            "SELECT (SELECT count(*) FROM event_log WHERE payload IS NOT NULL),"
            " (SELECT count(*) FROM webhook_events WHERE raw_payload IS NOT NULL),"
            " (SELECT count(*) FROM webhook_duplicates WHERE payload <> '')"
        )
    )


async def test_payloads_go_and_the_facts_stay(world, db):
    """After 72 hours nothing raw is left of finished events; their rows, messages and findings are."""
    async with projecting(world) as catch_up, world.engine():
        for number in range(3):
            await world.accept(f"raw-{number}")
        await world.ends(3)
        await world.accept("raw-0")
        await catch_up()
    assert await held(db) == (4, 3, 1)
    assert (await drop_old(world.settings, now_s() + LATER_S - 7200)).events == 0
    done = await drop_old(world.settings, now_s() + LATER_S)
    assert (done.events, done.repeats) == (3, 1)
    assert await held(db) == (0, 0, 0)
    assert await db.fetchval("SELECT count(*) FROM webhook_events WHERE message LIKE '%ref:%'") == 3
    assert await db.fetchval("SELECT duplicate_count FROM webhook_events WHERE lead_id = 'raw-0'") == 1
    assert await world.redis.xlen(KEYS.webhooks) == 0
    assert await world.redis.xlen(KEYS.outcomes) == 0
    made = Rebuild(db, world.redis, models(codec_of(world.settings)), lambda *_: None)
    report = await made.check()
    assert report.differences == 0, report.examples
    assert (await drop_old(world.settings, now_s() + LATER_S)).entries == 0


async def test_unfinished_work_keeps_its_payload(world, db):
    """What waits may have to be put back from the archive: it stays whole, and is worked."""
    async with projecting(world) as catch_up:
        await world.accept("raw-waiting")
        await catch_up()
        await drop_old(world.settings, now_s() + LATER_S)
        assert await held(db) == (1, 1, 0)
        assert await world.redis.xlen(KEYS.webhooks) == 1
        async with world.engine():
            [done] = await world.ends(1)
        assert done.result == "sent"


@pytest.mark.parametrize("batch", [1, 2, 3])
async def test_what_must_stay_holds_up_nothing_behind_it(world, db, monkeypatch, batch):
    """However small the batches: the payloads of all that ended go, between and behind those that stay."""
    monkeypatch.setattr(raw_retention, "BATCH", batch)
    async with projecting(world) as catch_up:
        for number in range(9):
            await world.accept(f"raw-{number}")
        await catch_up()
    await db.execute(
        "UPDATE webhook_events SET status = 'success' WHERE lead_id IN ('raw-2', 'raw-3', 'raw-6', 'raw-8')"
    )
    assert (await drop_recorded(db, datetime.now(UTC) + timedelta(hours=1))).events == 4
    left = await db.fetch("SELECT lead_id FROM event_log WHERE payload IS NOT NULL ORDER BY lead_id")
    assert [row["lead_id"] for row in left] == [f"raw-{n}" for n in (0, 1, 4, 5, 7)]


async def test_nothing_is_dropped_while_a_rebuild_runs(world, db):
    """A rebuild reads the archive in passes; what it has copied must not change under it."""
    async with projecting(world) as catch_up, world.engine():
        await world.accept("raw-rebuilt")
        await world.ends(1)
        await catch_up()
    other = await asyncpg.connect(world.settings.database_url.get_secret_value())
    async with other.transaction():
        assert await other.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK)
        await drop_recorded(db, datetime.now(UTC) + timedelta(hours=1))
        assert await held(db) == (1, 1, 0)
    await other.close()
    assert (await drop_recorded(db, datetime.now(UTC) + timedelta(hours=1))).events == 1
