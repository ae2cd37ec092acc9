"""`c2s recover`: after Redis was wiped or entries were deleted, from Postgres."""

import asyncio

from ops.postgres import create_pool
from ops.recover import Recovered, Recovery, ensure_groups
from ops.redis import command_client
from ops.settings import Settings


def recover(settings: Settings) -> Recovered:
    """Restore dedup keys and unfinished events.

    Raises:
        StorageUnavailable: Redis or Postgres is away.
    """
    return asyncio.run(_recover(settings))


async def _recover(settings: Settings) -> Recovered:
    client = command_client(settings.redis_url.get_secret_value())
    pool = await create_pool(settings, min_size=0, max_size=2, application_name="c2s-recover")
    try:
        await ensure_groups(client, settings.stream_partitions, settings.steps_ttl_secs)
        return await Recovery(client, pool, settings).run()
    finally:
        await pool.close()
        await client.aclose()
