"""One run: page by page through C2S's list, appending what is missing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from ops.redis import Client
from ops.settings import Settings, rate_interval_s
from processor.outside.c2s import PAGE_MAX
from processor.reconcile.missing import lead_id_of, missing_of
from processor.reconcile.records import known_events, not_in_stream
from processor.reconcile.runs import Run, Runs
from schema.calls import Appended, Appending
from schema.codec import PayloadCodec
from schema.errors import BodyError, Retryable, Unauthorized
from schema.events import WebhookAccepted
from schema.times import to_text
from schema.webhook import Delivery

log = structlog.get_logger()

OVERLAP = timedelta(minutes=10)  # C2S's clock and ours differ, and webhooks are on their way
_TRIES = 6
_PAUSE_S = 5.0

Sleep = Callable[[float], Awaitable[None]]
Tell = Callable[[Run], None]


class LeadList(Protocol):
    """What reconciling needs of C2S."""

    async def list_leads(
        self, *, updated_gte: str, page: int = ..., perpage: int = ...
    ) -> list[dict[str, Any]]: ...


class Appends(Protocol):
    """What missing events are appended to."""

    async def append_all(self, items: Sequence[Appending]) -> list[Appended]: ...


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Compares and appends.

    Attributes:
        now: the present, aware of its time zone; when a missing event was *received*.
        tell: is shown the run after each page.
    """

    leads: LeadList
    appender: Appends
    client: Client
    codec: PayloadCodec
    settings: Settings
    now: Callable[[], datetime]
    sleep: Sleep = asyncio.sleep
    tell: Tell = lambda _run: None

    async def since(self, runs: Runs, since: datetime, *, appends: bool = True) -> list[Run]:
        """Compare what changed since a moment; the runs made.

        A run that was killed is finished first; what changed after it began is the next one's.

        Raises:
            PipelineError: C2S cannot be asked; the progress made is kept.
            StorageUnavailable: Redis or Postgres is away; likewise.
        """
        run = await runs.open(since, appends=appends)
        resumed = run.next_page > 1
        done = [await self._whole(runs, run, appends=appends)]
        if resumed:
            rest = await runs.open(max(since, run.started_at - OVERLAP), appends=appends)
            done.append(await self._whole(runs, rest, appends=appends))
        return done

    async def _whole(self, runs: Runs, run: Run, *, appends: bool) -> Run:
        log.info("reconcile.started", since=to_text(run.since), page=run.next_page, run=run.id)
        before: list[str] = []
        while True:
            page = await self._page(runs, run)
            ids = await self._compare(runs, run, page, appends=appends)
            # Short pages and a list that does not know pages both end here.
            last = not page or len(page) < run.page_size or ids == before
            run.page_size, run.next_page, before = max(run.page_size, len(page)), run.next_page + 1, ids
            await runs.save(run)
            self.tell(run)
            if last:
                break
        await runs.end(run)
        log.info(
            "reconcile.finished", leads=run.leads, found=run.found, missing=run.missing, appended=run.appended
        )
        return run

    async def _page(self, runs: Runs, run: Run) -> list[dict[str, Any]]:
        """The run's next page, asked for within reconcile's share; a few faults are waited out."""
        interval_s = rate_interval_s(self.settings.c2s_rate_limit) / self.settings.reconcile_share
        tries = 0
        while True:
            await self.sleep(await runs.reserve(run, interval_s))
            try:
                return await self.leads.list_leads(
                    updated_gte=to_text(run.since), page=run.next_page, perpage=PAGE_MAX
                )
            except Unauthorized:
                raise
            except Retryable as error:
                tries += 1
                if tries == _TRIES:
                    raise
                wait_s = error.retry_after_s or _PAUSE_S * 2**tries
                log.warning("reconcile.waits", code=error.code, seconds=wait_s)
                await self.sleep(wait_s)

    async def _compare(
        self, runs: Runs, run: Run, page: Sequence[dict[str, Any]], *, appends: bool
    ) -> list[str]:
        """Count and append what a page's leads lack; their ids."""
        leads = {}
        for lead in page:
            try:
                leads[lead_id_of(lead)] = lead
            except BodyError as error:
                log.warning("reconcile.unusable", code=error.code)
        known = await known_events(runs.conn, list(leads)) if leads else {}
        candidates = [
            d for lead_id, lead in leads.items() for d in missing_of(lead, run.since, known.get(lead_id, ()))
        ]
        lost = await not_in_stream(self.client, candidates, self.settings.partitions)
        if appends and lost:
            run.appended += await self._append(lost)
        run.leads += len(leads)
        run.missing += len(lost)
        run.found += len(leads) - len({d.lead_id for d in lost})
        return list(leads)

    async def _append(self, lost: Sequence[Delivery]) -> int:
        done = await self.appender.append_all([self._appending(delivery) for delivery in lost])
        for delivery, appended in zip(lost, done, strict=True):
            if appended.fresh:
                log.info(
                    "reconcile.appended",
                    event_id=appended.event_id,
                    lead_id=delivery.lead_id,
                    action=delivery.action,
                )
        return sum(appended.fresh for appended in done)

    def _appending(self, delivery: Delivery) -> Appending:
        event_id = delivery.event_id
        event = WebhookAccepted(
            event_id=event_id,
            lead_id=delivery.lead_id,
            action=delivery.action,
            version=delivery.version,
            source="reconcile",
            received_at=self.now(),
            payload=self.codec.seal(event_id, "payload", delivery.payload),
        )
        return Appending(event, delivery.dedup_key)
