"""The Redis clients: many callers share few connections."""

import asyncio

from ops.redis import command_client


async def test_callers_beyond_the_connections_wait_their_turn(redis_url):
    """A hundred commands at once over two connections: all are answered, none is told that Redis is away."""
    client = command_client(redis_url, max_connections=2)
    try:
        counted = await asyncio.gather(*(client.incr("turns") for _ in range(100)))
    finally:
        await client.aclose()
    assert sorted(counted) == list(range(1, 101))
