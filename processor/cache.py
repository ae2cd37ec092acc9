"""Look-ups of the enrichment APIs, kept for the fleet: sealed like payloads, under keyed hashes.

One look-up in flight per question: who finds it locked looks again after growing pauses (this is rare: two
leads of one person at once). A lock lives as long as a lease and is renewed while its owner looks up: a crash
holds others up no longer than it does its own lead, and one that lapses too soon costs one more call.
"Nothing is known" is kept too, for an hour at most.

A look asks for the turn of the call that it may lead to, and looks at the same time share a call; an answer
is kept with the next of them (see `processor.exchange`).
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import msgspec
import orjson
import structlog

from ops.fingerprint import Fingerprints
from ops.settings import Settings
from ops.together import end_all
from processor.budget import Asking, Begun
from processor.exchange import Exchange
from processor.people import Found
from processor.profile import Profile
from schema.codec import PayloadCodec
from schema.errors import CodecError, StorageUnavailable
from schema.lead import Customer, Lead
from schema.outside import Op, keep, look, read_look

log = structlog.get_logger()

KEPT_LONG_S = 3600  # a crash is taken over, and most outages are over, in less
_RENEWALS = 3  # in the life of a lock
_FIRST_PAUSE_S = 0.2
_MOST_PAUSE_S = 3.0
_API_OF = {"phone": "diretrix", "email": "diretrix", "cpf": "work", "lead": "c2s"}


class PeopleSource(Protocol):
    async def by_phone(self, digits: str) -> list[Found]: ...
    async def by_email(self, email: str) -> list[Found]: ...


class ProfileSource(Protocol):
    async def profile(self, cpf: str) -> Profile | None: ...


class Ahead(Protocol):
    """The turn of a call, asked for before it is known whether the call is needed (see `processor.gate`)."""

    def ahead(self, api: str) -> Asking | None: ...
    def begin(self, begun: Begun | None) -> None: ...


class LeadSource(Protocol):
    async def get_lead(self, lead_id: str) -> Lead: ...


class LookUps:
    """The cache itself: JSON texts by kind and question."""

    def __init__(
        self,
        exchange: Exchange,
        turns: Ahead,
        codec: PayloadCodec,
        fingerprints: Fingerprints,
        settings: Settings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._exchange = exchange
        self._turns = turns
        self._codec = codec
        self._fingerprints = fingerprints
        self._ttl_s = settings.profile_cache_secs
        self._lock_s = settings.lease_ttl_secs
        self._sleep = sleep

    async def get(self, kind: str, asked: str, fetch: Callable[[], Awaitable[object]]) -> object:
        """The answer as JSON values: known, or fetched now.

        Raises:
            StorageUnavailable: Redis is away.
            PipelineError: whatever ``fetch`` raises; nothing is kept then.
        """
        if not self._ttl_s:
            return await fetch()
        name, token = self._fingerprints.of(kind, asked), secrets.token_hex(8)
        ask = look(name, token, self._lock_s)
        turn = self._turns.ahead(_API_OF[kind])
        pause_s = _FIRST_PAUSE_S
        while True:
            reply, *told = await self._exchange.ask(ask, *([turn.op] if turn else []))
            looked = read_look(reply)
            if looked.state == "hit":
                with suppress(CodecError, orjson.JSONDecodeError):
                    return orjson.loads(self._codec.open(name, kind, looked.answer))
                return await fetch()
            if looked.state == "mine":
                self._turns.begin(turn.begun(told[0]) if turn else None)
                return await self._fetch(kind, name, ask, fetch)
            await self._sleep(min(pause_s, looked.wait_s))
            pause_s = min(pause_s * 2, _MOST_PAUSE_S)

    async def _fetch(self, kind: str, name: str, ask: Op, fetch: Callable[[], Awaitable[object]]) -> object:
        token = ask.texts[0]
        holding = asyncio.create_task(self._hold(ask))
        try:
            answer = await fetch()
        except BaseException:
            await end_all({holding})
            with suppress(StorageUnavailable):
                await asyncio.shield(self._exchange.ask(keep(name, token, "", 0)))
            raise
        self._keep(kind, name, token, answer)
        await end_all({holding})
        return answer

    def keep(self, kind: str, asked: str, answer: object) -> None:
        """Keep an answer that was fetched without a lock, for nobody else asks for it at the same time."""
        if self._ttl_s:
            self._keep(kind, self._fingerprints.of(kind, asked), "", answer)

    def _keep(self, kind: str, name: str, token: str, answer: object) -> None:
        stored = self._codec.seal(name, kind, orjson.dumps(answer).decode())
        ttl_s = self._ttl_s if answer and kind != "lead" else min(self._ttl_s, KEPT_LONG_S)
        self._exchange.later(keep(name, token, stored, ttl_s))

    async def _hold(self, ask: Op) -> None:
        """Renew the lock until cancelled."""
        while True:
            await asyncio.sleep(self._lock_s / _RENEWALS)
            with suppress(StorageUnavailable):
                await self._exchange.ask(ask)


class CachedLeads:
    """What C2S told for an event whose webhook did not carry the customer: kept for it, for an hour."""

    def __init__(self, source: LeadSource, cache: LookUps) -> None:
        self._source = source
        self._cache = cache

    async def customer(self, lead_id: str, event_id: str, *, again: bool) -> Customer:
        """The lead's customer; ``again``: an attempt before this one may have asked, and died."""

        async def fetch() -> object:
            lead = await self._source.get_lead(lead_id)
            return msgspec.to_builtins(lead.customer or Customer())

        if again:
            return msgspec.convert(await self._cache.get("lead", event_id, fetch), Customer)
        answer = await fetch()
        self._cache.keep("lead", event_id, answer)
        return msgspec.convert(answer, Customer)


class CachedPeople:
    """Diretrix with the cache before it."""

    def __init__(self, source: PeopleSource, cache: LookUps) -> None:
        self._source = source
        self._cache = cache

    async def by_phone(self, digits: str) -> list[Found]:
        """Who has this phone."""
        return await self._find("phone", digits, lambda: self._source.by_phone(digits))

    async def by_email(self, email: str) -> list[Found]:
        """Who has this e-mail address."""
        return await self._find("email", email, lambda: self._source.by_email(email))

    async def _find(self, kind: str, asked: str, find: Callable[[], Awaitable[list[Found]]]) -> list[Found]:
        async def fetch() -> object:
            return msgspec.to_builtins(await find())

        return msgspec.convert(await self._cache.get(kind, asked, fetch), list[Found])


class CachedProfiles:
    """The Work API with the cache before it."""

    def __init__(self, source: ProfileSource, cache: LookUps) -> None:
        self._source = source
        self._cache = cache

    async def profile(self, cpf: str) -> Profile | None:
        """The profile of a CPF, or None where nothing usable is known."""

        async def fetch() -> object:
            found = await self._source.profile(cpf)
            return None if found is None else msgspec.to_builtins(found)

        return msgspec.convert(await self._cache.get("cpf", cpf, fetch), Profile | None)
