"""Everything that is stored, as text, so that a test can look for a person in it."""

from typing import Any

import asyncpg

from ops.redis import Client


async def redis_texts(client: Client) -> dict[str, str]:
    """Every key of Redis with all it holds."""
    found: dict[str, str] = {}
    async for key in client.scan_iter(count=1000):
        kind = (await client.type(key)).decode()
        value: Any
        if kind == "stream":
            value = await client.xrange(key)
        elif kind == "hash":
            value = await client.hgetall(key)
        elif kind == "zset":
            value = await client.zrange(key, 0, -1)
        else:
            value = await client.get(key)
        found[key.decode()] = repr(value)
    return found


async def postgres_texts(conn: asyncpg.Connection) -> dict[str, str]:
    """Every table of Postgres with all its rows."""
    tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = {}
    for (table,) in tables:
        rows = await conn.fetch(f"SELECT t::text FROM {table} t")  # noqa: S608 -- our own names
        found[table] = "\n".join(row[0] for row in rows)
    return found


async def places_of(client: Client, conn: asyncpg.Connection, marks: list[str]) -> set[str]:
    """Where any of the marks can be read: keys (their last part cut off) and tables."""
    everything = {**await redis_texts(client), **await postgres_texts(conn)}
    return {
        place for place, text in everything.items() if any(m.lower() in (place + text).lower() for m in marks)
    }
