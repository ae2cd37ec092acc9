"""Where accepted webhooks are kept: in the stream, or while Redis cannot take them in the spool.

Order within a lead: one flush at a time decides for everything that gathered where it goes, and once a flush
went to the spool all later ones do, until the spool is empty again. That a spool is empty is decided while no
flush may write to it. (Another process may reach Redis meanwhile: across processes C2S promises no order
either.) Keeping beats order: with Postgres gone too, Redis is tried once more before a webhook is refused.

What a flush stores is sealed here, all of it in one go: the cipher's code and data are still at hand for the
next webhook then, which takes a third off what sealing one at a time costs a busy door.

While the spool holds nothing, nothing is probed. While it does, each try to drain it is the probe.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import structlog
from msgspec.structs import replace

from ingress.metrics import Metrics
from ingress.problems import where
from ops.batcher import Batcher
from ops.redis import RedisRefused
from ops.spool import Appends, Spool
from schema.calls import Appended, Appending
from schema.codec import PayloadCodec, PlainCodec
from schema.errors import StorageUnavailable

log = structlog.get_logger()

_MOST_REQUESTS = 64
_LAST_ROUND = 64
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LAST_ROUND_S = 5.0
_SLOT_BITS = 14  # 16 KiB


class Overloaded(StorageUnavailable):
    """As many webhooks are being stored at once as memory is meant to hold."""


class Kept(NamedTuple):
    """Where a webhook is now.

    Attributes:
        state: ``fresh`` or ``duplicate`` in the stream, or ``spooled``.
        event_id: of the event first accepted.
    """

    state: str
    event_id: str


# A request's webhooks, and how much of what may be in flight they are.
_Request = tuple[Sequence[Appending], int]


class Keeps(Protocol):
    """What the handlers need of the storage."""

    def keep(self, items: Sequence[Appending]) -> asyncio.Future[Sequence[Kept]]: ...


class Storage:
    """Stream first, spool second."""

    def __init__(
        self,
        appender: Appends,
        spool: Spool,
        metrics: Metrics,
        codec: PayloadCodec,
        most_in_flight: int = 1000,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            appender: into the streams.
            spool: in Postgres.
            metrics: counts what is drained.
            codec: seals what is stored.
            most_in_flight: webhooks being stored at once; one of more than 16 KiB counts as several.
        """
        self._appender = appender
        self._spool = spool
        self._metrics = metrics
        self._codec = codec
        self._clear = isinstance(codec, PlainCodec)
        self._batcher: Batcher[_Request, Sequence[Kept]] = Batcher(self._flush, most=_MOST_REQUESTS)
        self._most_in_flight = most_in_flight
        self._in_flight = 0
        self._spooling = False
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()

    @property
    def spooling(self) -> bool:
        """Whether webhooks go to the spool at present."""
        return self._spooling

    def keep(self, items: Sequence[Appending]) -> asyncio.Future[Sequence[Kept]]:
        """Store a request's webhooks durably, in order; they come in clear and are stored sealed.

        The future raises `StorageUnavailable` where neither Redis nor Postgres takes them.

        Raises:
            Overloaded: too many others are being stored; nothing was tried.
        """
        # Judged by what is there already: a large batch is not kept out for ever, and at most one exceeds.
        if self._in_flight >= self._most_in_flight:
            raise Overloaded("too many webhooks are being stored at once")
        weight = len(items)
        for item in items:
            weight += len(item.event.payload) >> _SLOT_BITS
            if item.forward is not None:
                weight += len(item.forward.body) >> _SLOT_BITS
        self._in_flight += weight
        return self._batcher.put((items, weight))

    async def check(self) -> None:
        """Look once for what an earlier run left in the spool; `run` does the rest."""
        try:
            self._set(spooling=not await self._spool.is_empty())
        except StorageUnavailable as error:
            log.warning("spool.unavailable", error=str(error))
            self._wanted.set()
        if self._spooling:
            self._wanted.set()

    async def run(self) -> None:
        """Drain the spool whenever there may be something in it; ends only by cancellation."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            pause_s = _FIRST_PAUSE_S
            while not await self._drained():
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _flush(self, requests: Sequence[_Request]) -> Sequence[Sequence[Kept]]:
        try:
            kept = await self._store([self._sealed(item) for items, _ in requests for item in items])
        finally:
            self._in_flight -= sum(weight for _, weight in requests)
        found, at = [], 0
        for items, _ in requests:
            found.append(kept[at : at + len(items)])
            at += len(items)
        return found

    def _sealed(self, item: Appending) -> Appending:
        if self._clear:
            return item
        event, dedup_key, known, forward = item
        event = replace(event, payload=self._codec.seal(event.event_id, "payload", event.payload))
        if forward is not None and forward.body:
            forward = forward._replace(body=self._codec.seal(forward.id, "payload", forward.body))
        return Appending(event, dedup_key, known, forward)

    async def _store(self, items: Sequence[Appending]) -> list[Kept]:
        if self._spooling:
            async with self._turn:
                if self._spooling:
                    try:
                        return await self._put(items)
                    except StorageUnavailable as error:
                        log.warning("spool.unavailable", error=str(error))
            return await self._append(items)
        try:
            return await self._append(items)
        except StorageUnavailable as error:
            log.warning(
                "redis.refused" if isinstance(error, RedisRefused) else "redis.away", error=str(error)
            )
        try:
            kept = await self._put(items)
            self._set(spooling=True)
        finally:
            # Only now: a drain that looked while the rows were on their way would find nothing and go back to
            # sleep. Also where the spool does not answer: it may have taken them all the same.
            self._wanted.set()
        return kept

    async def _append(self, items: Sequence[Appending]) -> list[Kept]:
        return [_kept(a) for a in await self._appender.append_all(items)]

    async def _put(self, items: Sequence[Appending]) -> list[Kept]:
        await self._spool.put(items)
        return [Kept("spooled", i.event.event_id) for i in items]

    async def _drained(self) -> bool:
        """Try once to empty the spool; whether it is empty and the stream is in use again."""
        try:
            await self._settle()
        except (StorageUnavailable, TimeoutError) as error:
            log.debug("spool.waits", error=str(error))
            return False
        except Exception as error:  # noqa: BLE001 -- the drain must outlive whatever a row does to it
            log.error("spool.stuck", kind=type(error).__name__, where=where(error))  # noqa: TRY400 -- could quote a row
            return False
        return not self._spooling

    async def _settle(self) -> None:
        if not self._spooling:
            if await self._spool.is_empty():
                return
            self._set(spooling=True)
        while await self._drain() >= _LAST_ROUND:
            pass
        async with asyncio.timeout(_LAST_ROUND_S), self._turn:
            await self._drain()
            self._set(spooling=not await self._spool.is_empty())

    async def _drain(self) -> int:
        count = await self._spool.drain(self._appender)
        if count:
            self._metrics.drained.inc(count)
            log.info("spool.drained", webhooks=count)
        return count

    def _set(self, *, spooling: bool) -> None:
        if spooling != self._spooling:
            log.warning("spool.in_use" if spooling else "spool.empty")
        self._spooling = spooling
        self._metrics.spooling.set(spooling)


def _kept(appended: Appended) -> Kept:
    return Kept("fresh" if appended.fresh else "duplicate", appended.event_id)
