"""The projector's composition root. One is active (session advisory lock), others stand by."""

import asyncio
import random

import asyncpg
import structlog

from ops.lifecycle import first_of, wait_or_stop
from ops.postgres import connect, translated
from ops.redis import Client, blocking_client
from ops.settings import Settings
from projections.checkpoint import StaleCheckpoint
from projections.projector import Projector, read_models
from schema.codec import PlainCodec
from schema.errors import StorageUnavailable

log = structlog.get_logger()

_LOCK = 0x633273_02
_PAUSE_S = 0.5
_PAUSE_MAX_S = 10.0


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Stand by, project, and start over after faults, until ``stop``."""
    await first_of(stop, _forever(settings, stop))


async def _forever(settings: Settings, stop: asyncio.Event) -> None:
    pause_s = _PAUSE_S
    while not stop.is_set():
        try:
            await _stand_by_and_project(settings)
        except (StorageUnavailable, StaleCheckpoint) as error:
            log.warning("projector.stalled", error=str(error), kind=type(error).__name__)
        except asyncpg.UndefinedTableError:
            log.warning("projector.stalled", error="the tables are missing: run `c2s migrate`")
        await wait_or_stop(stop, pause_s * random.uniform(0.5, 1))
        pause_s = min(pause_s * 2, _PAUSE_MAX_S)


async def _stand_by_and_project(settings: Settings) -> None:
    conn = await connect(settings, application_name=f"c2s-projector-{settings.instance}")
    reader = blocking_client(settings.redis_url.get_secret_value(), block_s=settings.block_secs)
    try:
        with translated("waiting for the projector's lock"):
            # Blocks in Postgres until the active projector's connection ends: no polling.
            await conn.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=10 * 365 * 86_400)
        log.info("projector.active")
        await _project(settings, conn, reader)
    finally:
        await reader.aclose()
        conn.terminate()


async def _project(settings: Settings, conn: asyncpg.Connection, reader: Client) -> None:
    projector = Projector(
        conn,
        reader,
        partitions=settings.stream_partitions,
        batch=settings.projector_batch,
        models=read_models(PlainCodec()),
    )
    stalled = False
    pause_s = _PAUSE_S
    while True:
        try:
            await projector.poll_once(settings.block_secs)
        except StorageUnavailable as error:
            if conn.is_closed():
                raise
            if not stalled:
                log.warning("projector.stalled", error=str(error))
            stalled = True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
            continue
        if stalled:
            log.info("projector.resumed")
        stalled, pause_s = False, _PAUSE_S
