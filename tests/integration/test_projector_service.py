"""The projector as a service: one active, faults survived, a prompt end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs
from support_waiting import until

from ops.dev.redis_server import EmbeddedRedis
from ops.migrate import migrate
from ops.redis import command_client
from ops.settings import Settings
from projections.service import serve
from schema.keys import Keys

BY_NAME = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(database_url)
    conn = await asyncpg.connect(database_url)
    await conn.execute("TRUNCATE event_log, projection_checkpoints")
    yield conn
    await conn.close()


def settings(database_url: str, redis_url: str, instance: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, instance=instance, block_secs=60)


@asynccontextmanager
async def running(told: Settings) -> AsyncIterator[asyncio.Event]:
    """A projector until the block ends; it must then stop within its two polite seconds."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(told, stop))
    try:
        yield stop
    finally:
        stop.set()
        began = time.monotonic()
        await asyncio.wait_for(task, 10)
        assert time.monotonic() - began < 3


async def note(redis_url: str) -> None:
    client = command_client(redis_url)
    await client.xadd(Keys(0).outcomes, {"type": "note"})
    await client.aclose()


async def test_one_projects_the_other_stands_by_and_takes_over(db, database_url, redis_url):
    """The standby waits in Postgres; when the active one stops, it goes on from the checkpoint."""

    async def waiting() -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return await db.fetchval(query) == 1

    async def archived() -> int:
        return await db.fetchval("SELECT count(*) FROM event_log")

    async def are(number: int) -> bool:
        return await archived() == number

    async with running(settings(database_url, redis_url, "b1")) as first_stop:
        await note(redis_url)
        await until(lambda: are(1))
        async with running(settings(database_url, redis_url, "b2")):
            await until(waiting)
            await note(redis_url)
            await until(lambda: are(2))
            assert await waiting()
            first_stop.set()
            await note(redis_url)
            await until(lambda: are(3))


async def test_a_standby_that_stops_leaves_no_backend_behind(db, database_url, redis_url):
    """Its waiting query is cancelled, so that nothing takes the lock after it has gone."""

    async def backends(instance: str) -> int:
        return len(await db.fetch(BY_NAME, f"c2s-projector-{instance}"))

    async def waits() -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return await db.fetchval(query) == 1

    async def gone() -> bool:
        return await backends("c2") == 0

    async def alone() -> bool:
        return await backends("c1") == 1

    async with running(settings(database_url, redis_url, "c1")):
        await until(alone)
        async with running(settings(database_url, redis_url, "c2")):
            await until(waits)
        await until(gone)
        assert not await waits()


async def test_a_lost_connection_is_replaced_while_the_read_blocks(db, database_url, redis_url):
    """With its backend ended it says so, takes the lock anew at once and projects on."""

    async def pids() -> set[int]:
        return {row["pid"] for row in await db.fetch(BY_NAME, "c2s-projector-d1")}

    async def archived() -> bool:
        return await db.fetchval("SELECT count(*) FROM event_log") == 1

    async def connected() -> bool:
        return len(await pids()) == 1

    with capture_logs() as logs:
        async with running(settings(database_url, redis_url, "d1")):
            await until(connected)
            (old,) = await pids()
            await db.execute("SELECT pg_terminate_backend($1)", old)

            async def renewed() -> bool:
                return bool(await pids() - {old})

            await until(renewed)
            await note(redis_url)
            await until(archived)
    assert [entry["event"] for entry in logs].count("projector.stalled") == 1


async def test_redis_may_go_and_come_back(db, database_url, tmp_path):
    """While Redis is away it says so once and keeps its place; when Redis is back it goes on."""

    async def archived() -> int:
        return await db.fetchval("SELECT count(*) FROM event_log")

    async def one() -> bool:
        return await archived() == 1

    async def two() -> bool:
        return await archived() == 2

    with EmbeddedRedis(tmp_path) as server, capture_logs() as logs:

        async def said() -> bool:
            return any(entry["event"] == "projector.stalled" for entry in logs)

        async with running(settings(database_url, server.url, "e1")):
            await note(server.url)
            await until(one)
            await asyncio.to_thread(server.stop)
            await until(said)
            await asyncio.to_thread(server.start)
            await note(server.url)
            await until(two)
    names = [entry["event"] for entry in logs]
    assert (names.count("projector.stalled"), names.count("projector.resumed")) == (1, 1)
