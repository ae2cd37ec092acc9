"""The webhook door: read, verify, take apart, keep, answer. 200 means: durable somewhere.

The order matters. Nothing is read before the headers allow it, nothing is parsed before something vouches
for the raw bytes, and nothing is answered before it is stored.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, NamedTuple

import orjson
import structlog
from aiohttp import web
from multidict import istr

from ingress.forwarding import with_copy
from ingress.limits import Reading
from ingress.metrics import Metrics
from ingress.problems import AuthError, Refusal, overloaded, unavailable
from ingress.rates import Buckets, rate_limited
from ingress.storing import Keeps, Kept, Overloaded
from ingress.verify import Verified, Verifier
from ops import traces
from schema.calls import Appending
from schema.errors import BodyError, StorageUnavailable
from schema.events import WebhookAccepted
from schema.identity import event_id_of
from schema.webhook import Body, Delivery, parse_body

log = structlog.get_logger()

_HEADER = istr("traceparent")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)
# What a body cannot be read for (400), against what it says that we do not take (422).
_UNREADABLE = frozenset({"json_invalid", "timestamp_malformed"})
_LOG_EVENTS = {
    "accepted": "webhook.accepted",
    "duplicate": "webhook.duplicate",
    "ignored": "webhook.ignored",
    "spooled": "webhook.spooled",
}


class Judged(NamedTuple):
    """A webhook that may come in.

    Attributes:
        limited: elements whose lead is over its rate, with the seconds to wait.
        started: by `perf_counter`.
    """

    body: Body
    limited: dict[int, int]
    now: datetime
    started: float


class Taking(NamedTuple):
    """A webhook on its way into the storage; ``kept`` is None where nothing of it is to be stored."""

    judged: Judged
    items: Sequence[Appending]
    kept: asyncio.Future[Sequence[Kept]] | None


@dataclass(frozen=True, slots=True)
class WebhookDoor:
    """Takes webhooks.

    Attributes:
        now: the present, aware of its time zone.
        leads: the rate of each lead's webhooks; only verified ones count.
        forwarding: whether each request is kept to be passed on as well.
        previous_secret_used: is told when a previous secret vouched for a webhook; must not wait.
    """

    reading: Reading
    verifier: Verifier
    storage: Keeps
    metrics: Metrics
    now: Callable[[], datetime]
    leads: Buckets
    forwarding: bool
    previous_secret_used: Callable[[], None] = lambda: None

    async def signed(self, request: web.Request) -> web.Response:
        """``POST /api/v1/webhook/leads``."""
        started = perf_counter()
        raw = await self.reading.body(request)
        verified = self.verifier.signed(request.headers, raw)
        return await self._take(request, raw, verified, started)

    async def with_token(self, request: web.Request) -> web.Response:
        """``POST /api/v1/webhook/leads/{token}``; a wrong token is refused before its body is read."""
        started = perf_counter()
        verified = self.verifier.token(request.match_info["token"])
        raw = await self.reading.body(request)
        return await self._take(request, raw, verified, started)

    async def _take(
        self, request: web.Request, raw: bytes, verified: Verified, started: float
    ) -> web.Response:
        action = request.query.get("action") if "?" in request.raw_path else None
        judged = self._judged(raw, action, verified, started)
        with traces.span("accept", _trace(request.headers)) as accepting:
            items = self._items(judged, request.headers, raw, accepting.traceparent)
            kept: Sequence[Kept] = ()
            if items:
                try:
                    kept = await self.storage.keep(items)
                except StorageUnavailable as error:
                    raise self._unkept(items, error) from None
            accepting.set(webhooks=len(items))
        return web.Response(body=self._answer(judged, items, kept), content_type="application/json")

    def begin(self, headers: Mapping[str, str], raw: bytes) -> Taking:
        """The first half of `signed`, for the express lane: all but the wait for the storage.

        Raises:
            Refusal: as `signed`.
        """
        started = perf_counter()
        judged = self._judged(raw, None, self.verifier.signed(headers, raw), started)
        items = self._items(judged, headers, raw)
        if not items:
            return Taking(judged, items, None)
        try:
            return Taking(judged, items, self.storage.keep(items))
        except StorageUnavailable as error:
            raise self._unkept(items, error) from None

    def end(self, taking: Taking) -> bytes:
        """The second half: the answer, once ``taking.kept`` is done.

        Raises:
            Refusal: as `signed`.
        """
        kept: Sequence[Kept] = ()
        if taking.kept is not None:
            try:
                kept = taking.kept.result()
            except StorageUnavailable as error:
                raise self._unkept(taking.items, error) from None
        return self._answer(taking.judged, taking.items, kept)

    def _judged(self, raw: bytes, action: str | None, verified: Verified, started: float) -> Judged:
        """Take the body apart; refuse what is too old or of a lead over its rate."""
        now = self.now()
        body = self._parse(raw, action, verified)
        self._check_time(verified, body, now)
        if verified.previous:
            self.metrics.previous_secret.labels(verified.by).inc()
            self.previous_secret_used()
            log.warning("auth.previous_secret", kind=verified.by)
        return Judged(body, self._limited(body), now, started)

    def _items(
        self, judged: Judged, headers: Mapping[str, str], raw: bytes, trace: str = ""
    ) -> Sequence[Appending]:
        """What is to be stored; ``trace`` is the span's own, where traces are on."""
        body, limited, now, _ = judged
        trace = trace or _trace(headers)
        items = [
            self._appending(e, now, trace)
            for n, e in enumerate(body.elements)
            if n not in limited and isinstance(e, Delivery)
        ]
        if items and self.forwarding:
            items = with_copy(items, headers, raw, batch=body.batch)
        return items

    def _parse(self, raw: bytes, action: str | None, verified: Verified) -> Body:
        try:
            return parse_body(raw, default_action=action or None, strict_time=verified.signed)
        except BodyError as error:
            if error.code == "timestamp_malformed":
                raise AuthError(error.code, str(error), status=400) from None
            self.metrics.results["refused"].inc()
            raise Refusal(400 if error.code in _UNREADABLE else 422, error.code, str(error)) from None

    def _check_time(self, verified: Verified, body: Body, now: datetime) -> None:
        off = self.verifier.off_by(verified, body.timestamp, now)
        if off is None:
            return
        if verified.signed:
            raise AuthError("timestamp_expired", "The webhook's timestamp is too far from the present.")
        log.info("webhook.time_off", seconds=round(off.total_seconds()), by=verified.by)

    def _limited(self, body: Body) -> dict[int, int]:
        """Elements whose lead is over its rate, with the seconds to wait."""
        limited: dict[int, int] = {}
        for n, element in enumerate(body.elements):
            if isinstance(element, Delivery) and (wait_s := self.leads.take(element.lead_id)):
                limited[n] = wait_s
        if limited:
            self.metrics.results["rate_limited"].inc(len(limited))
            if len(limited) == len(body.elements):
                raise rate_limited(max(limited.values()), "lead")
        return limited

    def _appending(self, delivery: Delivery, now: datetime, trace: str) -> Appending:
        key = delivery.dedup_key
        event_id = event_id_of(key)
        event = WebhookAccepted(
            event_id=event_id,
            lead_id=delivery.lead_id,
            action=delivery.action,
            version=delivery.version,
            source="webhook",
            received_at=now,
            traceparent=trace,
            payload=delivery.payload,
        )
        return Appending(event, key, delivery.known)

    def _unkept(self, items: Sequence[Appending], error: StorageUnavailable) -> Refusal:
        self.metrics.results["unavailable"].inc(len(items))
        if isinstance(error, Overloaded):
            return overloaded("Too many webhooks are being stored at once; send it again.")
        return unavailable("The webhook cannot be stored at present; send it again.")

    def _answer(self, judged: Judged, items: Sequence[Appending], kept: Sequence[Kept]) -> bytes:
        self.metrics.accept_seconds.observe(perf_counter() - judged.started)
        body, limited = judged.body, judged.limited
        if not body.batch:
            return orjson.dumps(self._taken(items[0], kept[0]))
        taken = iter(zip(items, kept, strict=True))
        rows = []
        for n, element in enumerate(body.elements):
            if isinstance(element, BodyError):
                rows.append(self._refused(element))
            elif n in limited:
                rows.append(_over(element, limited[n]))
            else:
                rows.append(self._taken(*next(taken)))
        if rows and not items:
            if limited:
                raise rate_limited(max(limited.values()), "lead")
            raise Refusal(422, "batch_refused", "No element of the batch can be taken: " + rows[0]["detail"])
        counts = dict.fromkeys(("accepted", "duplicate", "spooled", "ignored", "refused", "rate_limited"), 0)
        for row in rows:
            counts[row["status"]] += 1
        counts["duplicates"] = counts.pop("duplicate")
        return orjson.dumps({"status": "accepted", "received": len(rows), **counts, "events": rows})

    def _taken(self, item: Appending, kept: Kept) -> dict[str, Any]:
        status = kept.state
        if status == "fresh":
            status = "accepted" if item.known else "ignored"
        self.metrics.results[status].inc()
        lead_id = item.event.lead_id
        # An action we do not know is a stranger's text, so it is not logged.
        action = item.event.action if item.known else "unknown"
        log.info(_LOG_EVENTS[status], event_id=kept.event_id, lead_id=lead_id, action=action)
        return {"status": status, "event_id": kept.event_id, "lead_id": lead_id}

    def _refused(self, error: BodyError) -> dict[str, Any]:
        self.metrics.results["refused"].inc()
        log.warning("webhook.refused", code=error.code, batch=True)
        return {"status": "refused", "code": error.code, "detail": str(error)}


def _over(element: Delivery, wait_s: int) -> dict[str, Any]:
    log.warning("webhook.rate_limited", lead_id=element.lead_id, batch=True)
    detail = f"More webhooks for this lead than are taken; send it again in {wait_s} s."
    return {
        "status": "rate_limited", "code": "rate_limited", "lead_id": element.lead_id, "detail": detail,
        "retry_after": wait_s,
    }  # fmt: skip


def _trace(headers: Mapping[str, str]) -> str:
    """The request's ``traceparent``, or empty where there is none that holds."""
    trace = headers.get(_HEADER, "")
    return trace if trace and _TRACEPARENT.fullmatch(trace) else ""
