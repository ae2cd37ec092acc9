"""The old trigger, ``GET|POST /api/v1/leads/process?id=`` (C2S.md §5): append, then wait for the outcome.

It makes the same event as the lead's create webhook would, so whichever comes second is a duplicate; and the
processor sends nothing for a trigger whose lead has a message of any event already. So no lead gets two.

``force=true`` is the exception, asked for by name: an event of its own, which messages again whatever was
before. Its id holds the minute, so a request that is repeated in haste is still one event, sent once.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import structlog
from aiohttp import web

from ingress.answers import RESULTS, answer, bad, good, in_work, later, status_of, waiting_text
from ingress.asked import authorise, event_id_of_path, force_of, lead_id_of, unknown_event, wait_of
from ingress.problems import overloaded, unavailable
from ingress.rates import Buckets, rate_limited
from ingress.settled import EventsOnRecord, Standing
from ingress.storing import Keeps, Kept, Overloaded
from ingress.waiting import Outcomes
from ops import traces
from ops.settings import Settings
from schema.calls import Appending
from schema.codec import PayloadCodec
from schema.errors import CodecError, StorageUnavailable
from schema.events import LeadDeadLettered, LeadProcessed, Outcome, WebhookAccepted
from schema.identity import CREATE, dedup_key, event_id_of, forced_version, version_of_body

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trigger:
    """Takes the trigger's requests.

    Attributes:
        now: the present, aware of its time zone.
        leads: the rate at which one lead may be asked for.
    """

    settings: Settings
    storage: Keeps
    outcomes: Outcomes
    record: EventsOnRecord
    codec: PayloadCodec
    now: Callable[[], datetime]
    leads: Buckets

    async def process(self, request: web.Request) -> web.Response:
        """Append the lead's create event and answer with its outcome."""
        authorise(request, self.settings)
        lead_id, forced = lead_id_of(request), force_of(request)
        wait_s = wait_of(request, self.settings.trigger_wait_secs)
        if pause_s := self.leads.take(lead_id):
            raise rate_limited(pause_s, "lead", event="trigger.rate_limited")
        with traces.span("trigger", lead_id=lead_id) as asked:
            return await self._asked(lead_id, forced, wait_s, asked.traceparent)

    async def _asked(self, lead_id: str, forced: bool, wait_s: float, trace: str) -> web.Response:
        item = self._appending(lead_id, trace, forced=forced)
        try:
            async with self.outcomes.of(lead_id).waiting(item.event.event_id) as outcome:
                kept = await self._keep(item, forced=forced)
                if kept.state == "fresh":
                    return await self._answer(kept, lead_id, await _wait(outcome, wait_s))
        except StorageUnavailable:
            # The outcomes cannot be read now; the event can still be kept.
            kept = await self._keep(item, forced=forced)
        if kept.state == "spooled":
            return later(lead_id, kept.event_id, waiting_text("spooled"))
        return await self._known(kept, lead_id)

    async def status(self, request: web.Request) -> web.Response:
        """``GET /api/v1/leads/status/{event_id}``: where the event is, and once it has ended, its outcome."""
        authorise(request, self.settings)
        event_id = event_id_of_path(request)
        try:
            standing = await self.record.standing(event_id)
        except StorageUnavailable:
            raise unavailable("The record cannot be read at present; try again.", "status.refused") from None
        if standing is None:
            raise unknown_event()
        where = status_of(event_id, standing.lead_id, standing.status)
        where["failed_attempts"] = standing.failed_attempts
        if standing.final:
            return answer(where | _outcome(standing))
        return answer(where | {"message": waiting_text(standing.status)})

    def _appending(self, lead_id: str, trace: str, *, forced: bool) -> Appending:
        payload = orjson.dumps({"lead_id": lead_id, "action": CREATE})
        now = self.now()
        version = forced_version(now) if forced else version_of_body(payload)
        key = dedup_key(lead_id, CREATE, version)
        event_id = event_id_of(key)
        event = WebhookAccepted(
            event_id=event_id,
            lead_id=lead_id,
            action=CREATE,
            version=version,
            source="trigger",
            received_at=now,
            traceparent=trace,
            payload=payload.decode(),
        )
        return Appending(event, key)

    async def _keep(self, item: Appending, *, forced: bool) -> Kept:
        try:
            kept = (await self.storage.keep([item]))[0]
        except Overloaded:
            raise overloaded("Too many webhooks are being stored at once; try again.") from None
        except StorageUnavailable:
            raise unavailable("The lead cannot be stored at present; try again.") from None
        event = "trigger.forced" if forced else "trigger.kept"
        log.info(event, state=kept.state, event_id=kept.event_id, lead_id=item.event.lead_id)
        return kept

    async def _answer(self, kept: Kept, lead_id: str, outcome: Outcome | None) -> web.Response:
        match outcome:
            case None:
                return later(lead_id, kept.event_id, "The lead was accepted and is still in work.")
            case LeadProcessed(result="unchanged"):
                return answer(good(lead_id, "unchanged", await self._cpfs(lead_id)))
            case LeadProcessed(result=result) if result in RESULTS:
                return answer(good(lead_id, result, self._found(outcome)))
            case LeadDeadLettered():
                return answer(bad(lead_id, outcome.error))
            case _:
                # It was final before (its dedup key had lapsed): the record has the whole answer.
                return await self._known(kept, lead_id, otherwise=good(lead_id, "", ()))

    def _found(self, outcome: LeadProcessed) -> tuple[str, ...]:
        try:
            return _cpfs(self.codec.open(outcome.event_id, "enrichment", outcome.enrichment))
        except CodecError as error:
            log.warning("outcome.unreadable", event_id=outcome.event_id, error=str(error))
            return ()

    async def _known(self, kept: Kept, lead_id: str, otherwise: dict[str, Any] | None = None) -> web.Response:
        try:
            standing = await self.record.standing(kept.event_id)
        except StorageUnavailable as error:
            log.warning("record.unavailable", event_id=kept.event_id, error=str(error))
            standing = None
        if standing is None or not standing.final:
            return answer(otherwise or in_work(lead_id, kept.event_id))
        return answer(_outcome(standing))

    async def _cpfs(self, lead_id: str) -> tuple[str, ...]:
        try:
            return await self.record.cpfs(lead_id)
        except StorageUnavailable as error:
            log.warning("record.unavailable", lead_id=lead_id, error=str(error))
            return ()


async def _wait(outcome: asyncio.Future[Outcome | None], wait_s: float) -> Outcome | None:
    try:
        async with asyncio.timeout(wait_s):
            return await outcome
    except TimeoutError:
        return None


def _outcome(standing: Standing) -> dict[str, Any]:
    if standing.success:
        return good(standing.lead_id, standing.result, standing.cpfs)
    return bad(standing.lead_id, standing.error)


def _cpfs(enrichment: str) -> tuple[str, ...]:
    found: Any = orjson.loads(enrichment) if enrichment else {}
    people = found.get("people", []) if isinstance(found, dict) else []
    return tuple(str(p.get("cpf", "")) for p in people if isinstance(p, dict))
