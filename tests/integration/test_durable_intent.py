"""REQUIRE_REPLICAS and the send: what only the master knows is not acted upon."""

import asyncio
from pathlib import Path

from support_redis import ask
from support_waiting import until

from ops.dev.ports import LOOPBACK
from ops.dev.redis_server import EmbeddedRedis

ASKED = {"require_replicas": 1, "durable_timeout_secs": 0.05, "backoff_base_secs": 0.1}


async def test_nothing_is_sent_before_a_replica_has_the_intent(world, redis_server, tmp_path: Path):
    """Without a replica attempts end before the send, and none is spent; with one the lead is messaged."""
    await world.accept("kept-1")

    async def failures() -> list[tuple[str, int]]:
        return [(o.step, o.counted) for o in await world.outcomes() if o.type == "attempt_failed"]

    async with world.engine(**ASKED):
        assert set(await until(failures, lambda found: len(found) > 1)) == {("send", 0)}
        assert (await world.state())["calls"].get("c2s.create_message", 0) == 0
        with EmbeddedRedis(tmp_path / "replica") as replica:
            await asyncio.to_thread(ask, replica, "REPLICAOF", LOOPBACK, redis_server.port)
            [end] = await world.ends(1)
    assert (end.result, end.attempt) == ("sent", 1)
    assert len((await world.state())["messages"]["kept-1"]) == 1
