"""Waiting for outcomes: a door that closes waits for nobody."""

import asyncio

from ingress.waiting import OutcomeTail
from schema.keys import Keys


class SlowRedis:
    """Answers where the stream ends once it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def xrevrange(self, _stream, count):
        self.asked.set()
        await self.go.wait()
        return []

    async def xread(self, _streams, count, block):
        await asyncio.Event().wait()


async def test_a_waiter_that_comes_while_the_door_closes_is_let_go():
    """Closing between its look at the stream's end and its wait: it is told at once that it comes later."""
    redis = SlowRedis()
    tail = OutcomeTail(Keys(0), redis, redis)

    async def wait() -> object:
        async with tail.waiting("e1") as outcome:
            return await outcome

    waiting = asyncio.create_task(wait())
    await redis.asked.wait()
    await tail.close()
    redis.go.set()
    async with asyncio.timeout(5):
        assert await waiting is None
