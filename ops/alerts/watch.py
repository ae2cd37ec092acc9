"""The active projector's watch: a check every so often, in a task of its own that never fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from ops.alerts.check import check, heartbeat
from ops.redis import Client, command_client
from ops.settings import Settings
from ops.together import end_all
from schema.errors import LeadstreamError

log = structlog.get_logger()

_LONGEST_S = (
    120.0  # a check that takes longer is given up, so that one stuck connection does not end the watch
)


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[None]:
    """Check beside the block, with connections of our own; nothing that happens here reaches the block."""
    if not settings.alert_every:
        yield
        return
    client = command_client(settings.redis_url.get_secret_value())
    task = asyncio.create_task(_watch(settings, client))
    try:
        yield
    finally:
        await end_all({task})
        await client.aclose()


async def _watch(settings: Settings, client: Client) -> None:
    while True:
        # Waits first: a projector that just took over is behind for a moment, and that is no trouble.
        await asyncio.sleep(settings.alert_every)
        try:
            async with asyncio.timeout(_LONGEST_S):
                await heartbeat(settings, await check(settings, "projector", client=client))
        except (LeadstreamError, TimeoutError) as error:
            log.warning("alerts.unchecked", error=str(error), kind=type(error).__name__)
        except Exception as error:  # noqa: BLE001 -- projecting must go on whatever happens here
            log.error("alerts.broken", kind=type(error).__name__)  # noqa: TRY400 -- could quote an address
