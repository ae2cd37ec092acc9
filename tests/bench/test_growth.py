"""Whatever is stored already, a webhook costs the same commands, and no table is read from end to end."""

import asyncpg

from bench.growth_fill import fill_record, fill_streams
from bench.growth_worker import opened
from bench.rig import KEYS
from ops.migrate import migrate
from ops.redis import blocking_client

BASE, MANY, EVENTS = 500, 10_000, 100
_READ = "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables"


async def stored(redis_url: str, database_url: str, events: int) -> tuple[asyncpg.Connection, list[int]]:
    """An empty Redis and database with so many webhooks; what is then there."""
    await migrate(database_url)
    conn = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    await conn.execute("TRUNCATE webhook_events, event_log, projection_checkpoints, people, subjects CASCADE")
    redis = blocking_client(redis_url, block_s=60)
    await redis.flushall()
    await fill_record(conn, redis, events, BASE)
    await fill_streams(conn, redis, events, BASE)
    count = await conn.fetchval("SELECT count(*) FROM webhook_events")
    seen = [
        count,
        await redis.xlen(KEYS.webhooks),
        (await redis.xpending(KEYS.webhooks, "processors"))["pending"],
    ]
    await redis.aclose()
    return conn, seen


async def test_a_webhook_costs_the_same_after_many_others(redis_server, redis_url, database_url):
    """Commands of each step, inside of scripts too, and rows that Postgres reads without an index."""
    calls, read = [], []
    for events in (BASE, MANY):
        conn, seen = await stored(redis_url, database_url, events)
        assert seen == [events, events, 0]
        place = await opened(f"{events},{redis_server.pid},{redis_url},{database_url}")
        await place.round(EVENTS)  # scripts and plans
        place.found.clear()
        before = await conn.fetchval(_READ)
        await place.round(EVENTS)
        calls.append({step: found[0]["calls"] for step, found in place.found.items()})
        await place.closed()
        await conn.execute("SELECT pg_stat_clear_snapshot()")
        read.append(await conn.fetchval(_READ) - before)
        await conn.close()
    assert calls[0] == calls[1]
    assert set(calls[0]) == {"append", "claim", "finish", "project"}
    assert read[1] < MANY, read
