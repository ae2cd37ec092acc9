"""Who works: the processors that were heard of lately, as Redis knows them by their reads and heartbeats."""

from typing import Any

from redis.exceptions import ResponseError

from ops.redis import Client
from ops.settings import Settings
from schema.keys import GROUP, Keys


def heard_within_s(settings: Settings) -> float:
    """An idle processor speaks once per blocking read, a busy one per heartbeat; one read may be missed."""
    return 2 * settings.block_secs + settings.heartbeat_secs


async def live_processors(client: Client, settings: Settings) -> int:
    """How many processors were heard of; what a dead one still holds does not count for it."""
    within_ms = 1000 * heard_within_s(settings)
    names: set[bytes] = set()
    for partition in range(settings.partitions.served):
        try:
            consumers: Any = await client.xinfo_consumers(Keys(partition).webhooks, GROUP)
        except ResponseError:
            continue  # nothing has come yet, and nobody has asked
        names |= {c["name"] for c in consumers if c["idle"] <= within_ms}
    return len(names)
