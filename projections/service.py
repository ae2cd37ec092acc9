"""The projector's composition root: one is active, the others stand by without polling.

Whoever holds a session advisory lock projects, over the very connection that holds it: when the connection
is lost so is the right to write, and the projector goes back to standing by. Faults of Redis or Postgres
never end the process: it says so once, waits with growing pauses, and goes on from the checkpoint.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing, suppress
from functools import partial

import asyncpg
import structlog

from ops import traces
from ops.alerts.watch import watching
from ops.metrics import new_registry, served
from ops.postgres import connect, translated
from ops.redis import Client, blocking_client
from ops.seal import codec_of
from ops.settings import Settings
from ops.together import together, until
from projections.batch import Fact
from projections.checkpoint import StaleCheckpoint
from projections.fleet import Fleet
from projections.meters import ProjectorMeters
from projections.projector import Projector, read_models
from projections.raw_retention import keep_raw
from projections.trimmer import Trimmer
from projections.upkeep import keep_archive
from schema.errors import KeyMissing, StorageUnavailable

log = structlog.get_logger()

_LOCK = 0x633273_02
_FOREVER_S = 10 * 365 * 86_400
_CLOSE_S = 2.0
_GATHER_S = 0.2  # after a small batch: what follows from it comes in one more read, not in one for each fact
_PAUSE_S = 0.5
_PAUSE_MAX_S = 10.0

# A database that was not migrated yet, or is being migrated under our feet.
_OTHER_SCHEMA = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidCachedStatementError,
)


class Outage:
    """Faults in a row: the first is logged, each is followed by a longer pause, and so is their end."""

    def __init__(self, jitter: Callable[[], float], stalled: Callable[[], object] = lambda: None) -> None:
        """Begin without a fault.

        Args:
            jitter: random numbers from 0 up to 1.
            stalled: is told of each outage once.
        """
        self._jitter = jitter
        self._stalled = stalled
        self._pause_s = _PAUSE_S
        self.lasts = False

    async def pause(self, error: Exception, *, advice: str = "") -> None:
        """Say (once) that projecting stalled, and wait."""
        if not self.lasts:
            log.warning("projector.stalled", error=advice or str(error), kind=type(error).__name__)
            self._stalled()
        self.lasts = True
        await asyncio.sleep(self._pause_s * (0.5 + self._jitter() / 2))
        self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_S)

    def over(self) -> None:
        """Projecting works."""
        if self.lasts:
            log.info("projector.resumed")
        self.lasts, self._pause_s = False, _PAUSE_S


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Stand by, project, and start over after faults, until ``stop``."""
    registry = new_registry()
    meters = ProjectorMeters(registry)
    with closing(Fleet(settings.redis_url.get_secret_value(), settings.partitions.served)) as fleet:
        registry.register(fleet)
        with served(registry, settings.metrics_port):
            outage = Outage(random.random, meters.stalls.inc)
            await until(stop, _forever(settings, outage, meters, fleet))


async def _forever(settings: Settings, outage: Outage, meters: ProjectorMeters, fleet: Fleet) -> None:
    while True:
        try:
            await _stand_by_and_project(settings, outage, meters, fleet)
        except (StorageUnavailable, KeyMissing) as error:
            await outage.pause(error)
        except _OTHER_SCHEMA as error:
            await outage.pause(
                error, advice="the tables are not as this version knows them: run `c2s migrate`"
            )


async def _stand_by_and_project(
    settings: Settings, outage: Outage, meters: ProjectorMeters, fleet: Fleet
) -> None:
    lost = asyncio.Event()
    conn = await connect(settings, application_name=f"c2s-projector-{settings.instance}")
    reader = blocking_client(
        settings.redis_url.get_secret_value(), block_s=settings.block_secs, at_once=settings.partitions.served
    )
    try:
        conn.add_termination_listener(lambda _conn: lost.set())
        await _take_lock(conn, outage)
        log.info("projector.active")
        meters.active.set(1)
        async with watching(settings, lambda: (fleet.checkpoints, outage.lasts)):
            projecting = _project(settings, conn, reader, outage, meters=meters, fleet=fleet)
            await until(lost, together(projecting, keep_archive(settings), keep_raw(settings)))
    finally:
        meters.active.set(0)
        fleet.checkpoints = None
        await reader.aclose()
        # A polite end: a backend that waits for the lock would not notice a closed socket, and take it.
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await conn.close(timeout=_CLOSE_S)
    raise StorageUnavailable("the connection that held the projector's lock was lost")


async def _take_lock(conn: asyncpg.Connection, outage: Outage) -> None:
    with translated("waiting for the projector's lock"):
        if await conn.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            return
        outage.over()
        log.info("projector.standby")
        # Blocks in Postgres until the active projector's connection ends: no polling.
        await conn.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=_FOREVER_S)


def _committed(meters: ProjectorMeters, facts: Sequence[Fact], seconds: float) -> None:
    meters.committed(facts, seconds)
    if not traces.on():
        return
    for fact in facts:
        event = fact.event
        if event is not None:
            names = {"event_id": event.event_id, "lead_id": event.lead_id, "type": event.type}
            traces.record("project", event.traceparent, seconds, **names)


async def _project(
    settings: Settings,
    conn: asyncpg.Connection,
    reader: Client,
    outage: Outage,
    *,
    meters: ProjectorMeters,
    fleet: Fleet,
) -> None:
    projector = Projector(
        conn,
        reader,
        partitions=settings.partitions.served,
        batch=settings.projector_batch,
        models=read_models(codec_of(settings)),
        committed=partial(_committed, meters),
    )
    trimmer = Trimmer(reader, settings, time.time)
    async with aclosing(projector):
        while True:
            try:
                # After a fault the first look does not block, so that its end is known at once.
                number = await projector.poll_once(0 if outage.lasts else settings.block_secs)
                fleet.checkpoints = projector.checkpoints
                await trimmer.projected(number, projector.checkpoints)
            except StorageUnavailable as error:
                if conn.is_closed():
                    raise
                await outage.pause(error)
            except StaleCheckpoint as error:
                log.warning("projector.overtaken", error=str(error))
            else:
                outage.over()
                if number and not projector.more:
                    await asyncio.sleep(_GATHER_S)
