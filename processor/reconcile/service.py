"""Reconcile's composition root, and its schedule inside a processor.

Every processor keeps the schedule, one of them at a time runs (the lock), and Postgres knows when the next
run is due: nobody polls, and restarts neither skip nor repeat a run.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from ops.append import Appender
from ops.redis import command_client
from ops.seal import codec_of
from ops.settings import Settings
from ops.together import end_all
from processor.budget import Budgets
from processor.exchange import Exchange
from processor.gate import Gate
from processor.outside import open_clients
from processor.outside.http import AfterCall, no_record
from processor.reconcile.reconciler import OVERLAP, Reconciler, Tell
from processor.reconcile.runs import Due, ReconcileBusy, Run, exclusive, when_due
from schema.errors import LeadstreamError

log = structlog.get_logger()

_FIRST_LOOK_BACK = timedelta(hours=24)
_LONGEST_LOOK_BACK = timedelta(days=7)
_AFTER_FAULT_S = 60.0
_JITTER_S = 5.0


def look_back(due: Due) -> datetime:
    """Since when a scheduled run compares: a little before the last one began, at most a week."""
    if due.last_at is None:
        return due.now - _FIRST_LOOK_BACK
    return max(due.last_at - OVERLAP, due.now - _LONGEST_LOOK_BACK)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _silent(_run: Run) -> None:
    """Tell nobody."""


async def reconcile_since(
    settings: Settings,
    since: datetime,
    *,
    appends: bool = True,
    tell: Tell = _silent,
    after_call: AfterCall = no_record,
) -> list[Run]:
    """Compare C2S's list with the record once.

    Raises:
        ReconcileBusy: another instance is at it.
        PipelineError: C2S cannot be asked.
        StorageUnavailable: Redis or Postgres is away.
    """
    client = command_client(settings.redis_url.get_secret_value())
    gate = Gate(Budgets(Exchange(client), settings))
    try:
        async with (
            exclusive(settings) as runs,
            open_clients(settings, gate.before, after_call, gate.after) as clients,
        ):
            appender = Appender(
                client,
                partitions=settings.stream_partitions,
                other=settings.stream_partitions_other,
                dedup_ttl_s=settings.dedup_ttl_secs,
                instance=settings.instance,
            )
            reconciler = Reconciler(
                clients.c2s, appender, client, codec_of(settings), settings, now=_utc_now, tell=tell
            )
            return await reconciler.since(runs, since, appends=appends)
    finally:
        await client.aclose()


@asynccontextmanager
async def on_schedule(settings: Settings, after_call: AfterCall = no_record) -> AsyncIterator[None]:
    """Reconcile every ``RECONCILE_EVERY`` beside the block; its faults never reach the block.

    Args:
        settings: ours.
        after_call: counts the outside calls.
    """
    if not settings.reconcile_every:
        yield
        return
    task = asyncio.create_task(_keep_reconciling(settings, random.random, after_call))
    try:
        yield
    finally:
        await end_all({task})


async def _keep_reconciling(settings: Settings, jitter: Callable[[], float], after_call: AfterCall) -> None:
    every_s = settings.reconcile_every
    while True:
        try:
            due = await when_due(settings, every_s)
            if due.wait_s > 0:
                await asyncio.sleep(due.wait_s + jitter() * _JITTER_S)
                due = await when_due(settings, every_s)
            if due.wait_s <= 0:
                await reconcile_since(settings, look_back(due), after_call=after_call)
        except ReconcileBusy:
            await asyncio.sleep(every_s)
        except LeadstreamError as error:
            log.warning("reconcile.failed", error=str(error), kind=type(error).__name__)
            await asyncio.sleep(_AFTER_FAULT_S)
        except Exception as error:  # noqa: BLE001 -- the engine beside it must live whatever happens here
            log.error("reconcile.broken", kind=type(error).__name__)  # noqa: TRY400 -- could quote a lead
            await asyncio.sleep(every_s)
