"""The old trigger, ``GET|POST /api/v1/leads/process?id=`` (C2S.md §5): append, then wait for the outcome.

It makes the same event as the lead's create webhook would, so whichever comes second is a duplicate and no
lead gets two messages.
"""

import asyncio
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
import structlog
from aiohttp import web

from ingress.problems import AuthError, Refusal, unavailable
from ingress.settled import Settled
from ingress.storing import Keeps, Kept
from ingress.waiting import Outcomes
from ops.settings import Settings
from schema.calls import Appending
from schema.codec import PayloadCodec
from schema.errors import StorageUnavailable
from schema.events import LeadDeadLettered, LeadProcessed, Outcome, WebhookAccepted
from schema.identity import CREATE, dedup_key, event_id_of, is_lead_id, version_of_body

log = structlog.get_logger()

_CPF_DIGITS = 11
_RESULTS = {
    "sent": "The lead was enriched and the message was sent.",
    "no_match": "No CPF was found for the lead's phone or e-mail; no message was sent.",
    "dry_run": "The lead was enriched; no message was sent (DRY_RUN).",
}
_DONE = "The lead was processed."


class EndsOnRecord(Protocol):
    """Where the ends of earlier events can be read."""

    async def settled(self, event_id: str, lead_id: str) -> Settled | None: ...


@dataclass(frozen=True, slots=True)
class Trigger:
    """Takes the trigger's requests.

    Attributes:
        now: the present, aware of its time zone.
    """

    settings: Settings
    storage: Keeps
    outcomes: Outcomes
    record: EndsOnRecord
    codec: PayloadCodec
    now: Callable[[], datetime]

    async def process(self, request: web.Request) -> web.Response:
        """Append the lead's create event and answer with its outcome."""
        self._authorise(request)
        lead_id = _lead_id(request)
        item = self._appending(lead_id)
        try:
            async with self.outcomes.of(lead_id).waiting(item.event.event_id) as outcome:
                kept = await self._keep(item)
                if kept.state == "fresh":
                    return await self._answer(kept, lead_id, await self._wait(outcome))
        except StorageUnavailable:
            # The outcomes cannot be read now; the event can still be kept.
            kept = await self._keep(item)
        if kept.state == "spooled":
            return _later(lead_id, kept, "The lead was accepted and waits for the queue to be back.")
        return await self._known(kept, lead_id)

    def _authorise(self, request: web.Request) -> None:
        if self.settings.allow_open_trigger:
            return
        given = _given_key(request)
        if not given:
            raise AuthError("api_key_missing", "Send the trigger's key as X-API-Key or Bearer token.")
        wanted = self.settings.trigger_api_key.get_secret_value().encode()
        if not wanted or not hmac.compare_digest(wanted, given.encode("utf-8", "surrogateescape")):
            raise AuthError("api_key_invalid", "That is not the trigger's key.")

    def _appending(self, lead_id: str) -> Appending:
        payload = orjson.dumps({"lead_id": lead_id, "action": CREATE})
        version = version_of_body(payload)
        key = dedup_key(lead_id, CREATE, version)
        event_id = event_id_of(key)
        event = WebhookAccepted(
            event_id=event_id,
            lead_id=lead_id,
            action=CREATE,
            version=version,
            source="trigger",
            received_at=self.now(),
            payload=self.codec.seal(event_id, "payload", payload.decode()),
        )
        return Appending(event, key)

    async def _keep(self, item: Appending) -> Kept:
        try:
            kept = (await self.storage.keep([item]))[0]
        except StorageUnavailable:
            raise unavailable("The lead cannot be stored at present; try again.") from None
        log.info("trigger.kept", state=kept.state, event_id=kept.event_id, lead_id=item.event.lead_id)
        return kept

    async def _wait(self, outcome: asyncio.Future[Outcome | None]) -> Outcome | None:
        try:
            async with asyncio.timeout(self.settings.trigger_wait_secs):
                return await outcome
        except TimeoutError:
            return None

    async def _answer(self, kept: Kept, lead_id: str, outcome: Outcome | None) -> web.Response:
        match outcome:
            case None:
                return _later(lead_id, kept, "The lead was accepted and is still in work.")
            case LeadProcessed(result=result) if result in _RESULTS:
                cpfs = _cpfs(self.codec.open(outcome.event_id, "enrichment", outcome.enrichment))
                return _good(lead_id, _RESULTS[result], cpfs)
            case LeadDeadLettered():
                return _bad(lead_id, outcome.error)
            case _:
                # It was final before (its dedup key had lapsed): the record has the whole answer.
                return await self._known(kept, lead_id, otherwise=_good(lead_id, _DONE, ()))

    async def _known(self, kept: Kept, lead_id: str, otherwise: web.Response | None = None) -> web.Response:
        try:
            settled = await self.record.settled(kept.event_id, lead_id)
        except StorageUnavailable as error:
            log.warning("record.unavailable", event_id=kept.event_id, error=str(error))
            settled = None
        if settled is None:
            return otherwise or _in_work(lead_id)
        if settled.success:
            return _good(lead_id, _RESULTS.get(settled.result, _DONE), settled.cpfs)
        return _bad(lead_id, settled.error)


def _given_key(request: web.Request) -> str:
    header = request.headers.get("X-API-Key")
    if header:
        return header
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.query.get("key", "")


def _lead_id(request: web.Request) -> str:
    lead_id = request.query.get("id", "")
    if not lead_id:
        raise Refusal(422, "lead_id_missing", "The query names no lead: ?id=", event="trigger.refused")
    if not is_lead_id(lead_id):
        detail = "The lead id must be 1-128 letters, digits or ._:@-"
        raise Refusal(422, "lead_id_invalid", detail, event="trigger.refused")
    return lead_id


def _cpfs(enrichment: str) -> tuple[str, ...]:
    found: Any = orjson.loads(enrichment) if enrichment else {}
    people = found.get("people", []) if isinstance(found, dict) else []
    return tuple(str(p.get("cpf", "")) for p in people if isinstance(p, dict))


def mask_cpf(cpf: str) -> str:
    """Only the middle of a CPF of 11 digits, ``***.982.247-**``; nothing of any other text."""
    if len(cpf) != _CPF_DIGITS:
        return "***"
    return f"***.{cpf[3:6]}.{cpf[6:9]}-**"


def _good(lead_id: str, message: str, cpfs: Iterable[str]) -> web.Response:
    masked = [mask_cpf(cpf) for cpf in cpfs]
    found = {"cpfs_processed": masked, "entities_stored": len(masked)}
    return _json({"success": True, "message": message, "lead_id": lead_id, **found})


def _bad(lead_id: str, error: str) -> web.Response:
    message = f"The lead could not be processed: {error}" if error else "The lead could not be processed."
    return _json({"success": False, "message": message, "lead_id": lead_id})


def _in_work(lead_id: str) -> web.Response:
    message = "The lead is already in work."
    return _json({"success": True, "duplicate_request": True, "message": message, "lead_id": lead_id})


def _later(lead_id: str, kept: Kept, message: str) -> web.Response:
    content = {"success": True, "message": message, "lead_id": lead_id, "event_id": kept.event_id}
    return _json(content, status=202)


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
