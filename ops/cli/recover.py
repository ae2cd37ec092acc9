"""`c2s recover`: after Redis was wiped or entries were deleted, from Postgres."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping

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


def reapplied(environ: Mapping[str, str]) -> bool:
    """Erase anew whoever was erased before: what was restored may hold them. The record's own module does it.

    It says itself what went wrong.

    Returns:
        Whether it was done.
    """
    command = [sys.executable, "-m", "projections.subjects", "reapply"]
    done = subprocess.run(command, env=dict(environ), stdout=subprocess.DEVNULL, check=False)  # noqa: S603 -- our own
    return done.returncode == 0


async def _recover(settings: Settings) -> Recovered:
    client = command_client(settings.redis_url.get_secret_value())
    pool = await create_pool(settings, min_size=0, max_size=2, application_name="c2s-recover")
    try:
        await ensure_groups(client, settings.partitions.served, settings.steps_ttl_secs)
        return await Recovery(client, pool, settings).run()
    finally:
        await pool.close()
        await client.aclose()
