"""The fixtures other tests stand on."""

import asyncpg
from redis.asyncio import Redis


async def test_redis_url_is_empty_and_durable(redis_url: str) -> None:
    """A test gets an empty Redis that appends to a file and never evicts."""
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        await client.set("left-over", "1")


async def test_redis_url_is_emptied_between_tests(redis_url: str) -> None:
    """What the test before wrote is gone."""
    async with Redis.from_url(redis_url) as client:
        assert await client.exists("left-over") == 0


async def test_database_url_is_a_database_of_its_own(database_url: str) -> None:
    """A module gets an empty UTF8 database, not the one everybody shares."""
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT current_database()") != "postgres"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()
