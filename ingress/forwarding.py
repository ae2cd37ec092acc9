"""Forwarding during a migration: every accepted webhook also goes to ``FORWARD_URL``, as it came.

Who is authoritative: the stream ``forwards`` until a copy is in Postgres, then its row there
(`ops.forwards`). A copy is written by the step that accepts the webhook and removed from the stream only when
its row is committed, so a crash anywhere repeats moving, never loses. Every door moves and delivers; what one
does twice finds the other's row. The answer to C2S waits for none of it.

A receiver that is away is asked with growing pauses, one copy at a time, until it answers again.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

import aiohttp
import orjson
import structlog

from ingress.metrics import Metrics
from ingress.problems import where
from ingress.verify import SIGNATURE, STANDARD_ID, STANDARD_SIGNATURE, STANDARD_TIMESTAMP, TIMESTAMP
from ops.forwards import Claimed, Copy, Forwards
from ops.redis import Client, translated
from ops.redis_streams import StreamReads
from ops.settings import Settings
from schema.calls import Appending, Forward
from schema.codec import PayloadCodec
from schema.errors import CodecError, StorageUnavailable
from schema.events import flat_fields
from schema.identity import event_id_of
from schema.keys import Keys
from schema.times import from_text

log = structlog.get_logger()

LOOK_S = 30.0
_HEADERS = ("Content-Type", SIGNATURE, TIMESTAMP, STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE)
_FIELD = "payload"
_MOST_MOVED = 100
_MOST_AT_ONCE = 8
_LEASE_MARGIN_S = 10.0
_BACKOFF_S, _BACKOFF_MAX_S = 5.0, 900.0
_PAUSE_S, _PAUSE_MAX_S = 1.0, 60.0
_SWEEP_EVERY_S = 3600.0
_ANSWER_BYTES = 65_536
_OK = range(200, 300)
_SERVER_ERROR = 500
_AWAY = frozenset({408, 429})


def with_copy(
    items: Sequence[Appending], headers: Mapping[str, str], raw: bytes, *, batch: bool
) -> list[Appending]:
    """A request's webhooks, the first of which carries the request to be passed on: once, and whole."""
    kept = {name: value for name in _HEADERS if (value := headers.get(name)) is not None and value.isascii()}
    text = orjson.dumps(kept).decode()
    first = items[0]
    if batch:
        forward_id = event_id_of(f"batch {sha256(raw).hexdigest()}")  # no dedup key holds a space
        forward = Forward(forward_id, text, raw.decode())
    else:
        forward = Forward(first.event.event_id, text)
    return [first._replace(forward=forward), *items[1:]]


@dataclass(slots=True)
class Pauses:
    """Growing pauses while something is away; ``0`` where it is not."""

    jitter: Callable[[], float] = random.random
    next_s: float = 0.0

    def longer(self) -> float:
        """The pause to make now, in seconds."""
        self.next_s = min(max(self.next_s * 2, _PAUSE_S), _PAUSE_MAX_S)
        return self.next_s * (0.5 + self.jitter() / 2)


def backoff_s(attempts: int, jitter: float) -> float:
    """Seconds until a copy's next attempt: exponential with full jitter, at least one."""
    return max(1.0, jitter * min(_BACKOFF_S * 2.0 ** min(attempts, 20), _BACKOFF_MAX_S))


@dataclass(slots=True)
class Forwarder:
    """Moves copies from the streams to Postgres and delivers them; one per door.

    Attributes:
        reader: for blocking reads of at most `LOOK_S`.
        clock: seconds, steady.
    """

    settings: Settings
    reader: Client
    store: Forwards
    session: aiohttp.ClientSession
    codec: PayloadCodec
    metrics: Metrics
    clock: Callable[[], float]
    _wait_s: float = 0.0
    _resume_at: float = 0.0
    _sweep_at: float = 0.0
    _away: Pauses = field(default_factory=Pauses)
    _stalled: Pauses = field(default_factory=Pauses)
    _stopping: bool = False
    _resting: asyncio.Event = field(default_factory=asyncio.Event)
    _reads: StreamReads = field(init=False)

    def __post_init__(self) -> None:
        self._reads = StreamReads(self.reader)

    async def run(self) -> None:
        """Go on until cancelled; faults of Redis or Postgres only make it wait."""
        self._resting.set()
        try:
            await self._go_on()
        finally:
            await self._reads.close()

    async def _go_on(self) -> None:
        while True:
            try:
                await self.turn()
            except StorageUnavailable as error:
                if not self._stalled.next_s:
                    log.warning("forward.stalled", error=str(error))
                await asyncio.sleep(self._stalled.longer())
            except Exception as error:  # noqa: BLE001 -- forwarding must outlive whatever a copy does to it
                log.error("forward.stuck", kind=type(error).__name__, where=where(error))  # noqa: TRY400 -- could quote
                await asyncio.sleep(self._stalled.longer())
            else:
                self._stalled.next_s = 0.0

    async def finish(self, deadline_s: float) -> None:
        """Begin no more deliveries; return when those under way have ended, or at the deadline."""
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._resting.wait()

    async def turn(self) -> None:
        """Wait for what is to be done, and do some of it.

        Raises:
            StorageUnavailable: Postgres is away, or Redis; with Redis away deliveries went on.
        """
        away: StorageUnavailable | None = None
        try:
            await self._move(self._wait_s)
        except StorageUnavailable as error:
            away = error
        await self._deliver()
        standing = await self.store.standing()
        self.metrics.forwards_waiting.set(standing.waiting)
        self.metrics.forwards_oldest_s.set(standing.oldest_s or 0.0)
        due_s = LOOK_S if standing.due_in_s is None else standing.due_in_s
        self._wait_s = min(LOOK_S, max(due_s, self._resume_at - self.clock(), 0.0))
        await self._sweep()
        if away is not None:
            raise away

    async def _move(self, block_s: float) -> None:
        streams = {Keys(p).forwards: "0" for p in range(self.settings.partitions.served)}
        with translated("reading forwards"):
            found = await self._reads.read(streams, count=_MOST_MOVED, block_s=block_s)
        for stream, rows in found:
            copies = [copy for entry_id, items in rows if (copy := _copy(entry_id, items)) is not None]
            await self.store.put(copies)
            with translated("moving forwards"):
                await self.reader.xdel(stream, *(entry_id for entry_id, _ in rows))

    async def _deliver(self) -> None:
        if self._stopping or self.clock() < self._resume_at:
            return
        self._resting.clear()
        try:
            lease_s = self.settings.forward_timeout_secs + _LEASE_MARGIN_S
            most = 1 if self._away.next_s else _MOST_AT_ONCE
            claimed = await self.store.claim(most, lease_s)
            answers = await asyncio.gather(*(self._post(copy) for copy in claimed))
            for copy, answer in zip(claimed, answers, strict=True):
                await self._record(copy, answer)
        finally:
            self._resting.set()
        if any(answer.away for answer in answers):
            self._resume_at = self.clock() + max(self._away.longer(), *(a.retry_after_s for a in answers))
        elif answers:
            self._away.next_s = 0.0

    async def _record(self, copy: Claimed, answer: "Answer") -> None:
        if not answer.error:
            await self.store.delivered(copy.id)
            self.metrics.forwards.labels("delivered").inc()
            log.info("forward.delivered", forward_id=copy.id, lead_id=copy.lead_id, attempt=copy.attempts)
            return
        delay_s = max(backoff_s(copy.attempts, random.random()), answer.retry_after_s)
        give_up_s = self.settings.forward_give_up_secs
        given_up = await self.store.failed(copy.id, answer.error, delay_s=delay_s, give_up_s=give_up_s)
        self.metrics.forwards.labels("given_up" if given_up else "failed").inc()
        log.warning(
            "forward.given_up" if given_up else "forward.failed",
            forward_id=copy.id,
            lead_id=copy.lead_id,
            attempt=copy.attempts,
            error=answer.error,
        )

    async def _post(self, copy: Claimed) -> "Answer":
        """Post a copy. No text of the receiver or of the driver is kept: it could quote the URL."""
        try:
            body = self.codec.open(copy.id, _FIELD, copy.body).encode()
        except CodecError:
            return Answer("the body cannot be opened with the keys at hand")
        url = self.settings.forward_url.get_secret_value()
        try:
            async with self.session.post(
                url,
                data=body,
                headers=orjson.loads(copy.headers),
                skip_auto_headers=("Content-Type",),
                allow_redirects=False,
            ) as response:
                await response.content.read(_ANSWER_BYTES)  # so that the connection can be used again
                return _answer(response.status, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return Answer("no answer in time", away=True)
        except (aiohttp.ClientError, OSError) as error:
            return Answer(f"no answer: {type(error).__name__}", away=True)

    async def _sweep(self) -> None:
        if self.clock() >= self._sweep_at:
            await self.store.sweep(self.settings.dedup_ttl_secs)
            self._sweep_at = self.clock() + _SWEEP_EVERY_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said.

    Attributes:
        error: empty where it took the copy.
        away: it could not have taken any other either.
    """

    error: str = ""
    away: bool = False
    retry_after_s: float = 0.0


def _answer(status: int, retry_after: str) -> Answer:
    if status in _OK:
        return Answer()
    wait_s = (
        min(float(retry_after), _BACKOFF_MAX_S) if retry_after.isascii() and retry_after.isdigit() else 0.0
    )
    return Answer(f"answered {status}", away=status >= _SERVER_ERROR or status in _AWAY, retry_after_s=wait_s)


def _copy(entry_id: bytes, items: Sequence[bytes]) -> Copy | None:
    flat = flat_fields(items)
    try:
        received_at = from_text(flat["received_at"])
        return Copy(str(UUID(flat["id"])), flat["lead_id"], received_at, flat["headers"], flat["body"])
    except (KeyError, ValueError):
        log.error("forward.malformed", entry_id=entry_id.decode())  # noqa: TRY400 -- could quote the entry
        return None
