"""The fleet's budget of outside calls, as one instance uses it: take a turn, tell how the call ended.

Protocol and reasons: docs/budget.md. Redis is the authority on turns, pauses and circuit breakers. Every call
of every instance takes its turn there and sleeps until it; nobody polls. With Redis away the call waits for
it (`StorageUnavailable`): without the shared budget a fleet would overrun it together.

An API without a limit costs no commands of its own: whether its calls may pass, and how many did, is told
with every call of the `Exchange`. What is known of it is a second old at most; then one call asks again.
"""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from ops import traces
from ops.settings import Settings, rate_burst, rate_interval_s
from processor.exchange import Exchange
from processor.meters import Meters
from schema import budget
from schema.budget import BreakerPolicy, Pace, Priority, Turn, Turned
from schema.errors import CircuitOpen, StorageUnavailable
from schema.outside import Op

Sleep = Callable[[float], Awaitable[None]]

log = structlog.get_logger()

PAUSE_S = 10.0  # after a 429 that does not say how long
_PROBE_MARGIN_S = 10.0
_KNOWN_S = 1.0  # for so long, calls of an API without a limit pass unasked


@dataclass(frozen=True, slots=True)
class Grant:
    """A turn that was given: one call to one API.

    Attributes:
        probe: whether the API's breaker closes depends on it.
        paced: the calls are spaced, so this one shall be made now.
    """

    api: str
    ticket: str
    probe: bool = False
    paced: bool = True


@dataclass(frozen=True, slots=True)
class Asking:
    """A first question for a turn, to be asked together with a look (see `schema.outside`)."""

    api: str
    ticket: str
    op: Op

    def begun(self, reply: Sequence[Any]) -> "Begun | None":
        """What came of it; None where no turn is needed."""
        turn = budget.read_ask(reply)
        return Begun(self.api, self.ticket, turn) if turn else None


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that has asked for its turn once, and what it was told."""

    api: str
    ticket: str
    turn: Turn


class Turns(Protocol):
    """What the pipeline's calls need of the budget."""

    def asking(self, api: str, priority: Priority) -> Asking | None: ...
    async def acquire(self, api: str, priority: Priority, begun: Begun | None = None) -> Grant: ...
    async def pause(self, api: str, seconds: float) -> None: ...
    async def failed(self, grant: Grant) -> Turned: ...
    async def answered(self, grant: Grant) -> None: ...


class Budgets:
    """The turns of all outside APIs, in Redis."""

    def __init__(
        self,
        exchange: Exchange,
        settings: Settings,
        sleep: Sleep = asyncio.sleep,
        meters: Meters | None = None,
    ) -> None:
        s = settings
        self._exchange = exchange
        exchange.rider = self
        self._sleep = sleep
        self._meters = meters or Meters()
        self._passed: Counter[str] = Counter()  # calls that took no turn, not told yet
        self._known_until: dict[str, float] = {}
        self._boarded_at = 0.0
        # Random too: an instance that is started anew under its name must not meet its old tickets.
        self._ticket = f"{s.instance}:{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._policy = BreakerPolicy(
            s.breaker_failure_rate, s.breaker_failures, s.breaker_open_secs, s.breaker_open_max_secs
        )
        rates = {"c2s": s.c2s_rate_limit, "diretrix": s.diretrix_rate_limit, "work": s.work_api_rate_limit}
        self._paces = {api: pace_of(rate) for api, rate in rates.items()}
        self._unlimited = [api for api, pace in self._paces.items() if not pace.interval_s]
        self._probe_lives_s = dict.fromkeys(rates, s.http_timeout_secs + _PROBE_MARGIN_S)
        self._probe_lives_s["work"] = s.work_api_timeout_secs + _PROBE_MARGIN_S

    # -- what goes with every call of the exchange

    def board(self) -> Sequence[Op]:
        """How many calls of the APIs without a limit took no turn since the last word."""
        self._boarded_at = _now()
        return [budget.passing(api, self._passed.pop(api, 0)) for api in self._unlimited]

    def arrived(self, replies: Sequence[Any]) -> None:
        """Whether more may."""
        for api, reply in zip(self._unlimited, replies, strict=True):
            self._known_until[api] = self._boarded_at + _KNOWN_S if reply == 1 else 0.0

    def _passes(self, api: str) -> bool:
        return _now() < self._known_until.get(api, 0.0)

    # -- turns

    def asking(self, api: str, priority: Priority) -> Asking | None:
        """A question for a turn that may go with a look; None where the call needs none now."""
        if self._passes(api):
            return None
        ticket = self._next_ticket()
        return Asking(api, ticket, self._ask(api, ticket, priority, after_look=True))

    async def acquire(
        self, api: str, priority: Priority = Priority.RECONCILE, begun: Begun | None = None
    ) -> Grant:
        """Wait for this call's turn.

        Args:
            api: to be called.
            priority: of the call.
            begun: what it was told when it asked for the first time.

        Raises:
            CircuitOpen: the API's breaker is open.
            StorageUnavailable: Redis is away.
        """
        ticket, turn = (begun.ticket, begun.turn) if begun else (self._next_ticket(), None)
        waiting = turn is not None and turn.state == "wait"
        try:
            with self._meters.waiting(api), traces.span("turn", api=api):
                if turn is None and self._passes(api):
                    self._passed[api] += 1
                    return Grant(api, ticket, paced=False)
                ask = self._ask(api, ticket, priority)
                while True:
                    if turn is None:
                        [reply] = await self._exchange.ask(ask, hurry=api not in self._unlimited)
                        turn = budget.read_ask(reply)
                        assert turn is not None  # noqa: S101 -- it was asked for in any case
                    match turn.state:
                        case "go":
                            waiting = False
                            return Grant(api, ticket, turn.probe, paced=api not in self._unlimited)
                        case "open":
                            waiting = False
                            self._meters.circuit(api, turn.wait_s)
                            raise _open(api, turn.wait_s)
                    waiting = True
                    await self._sleep(turn.wait_s)
                    turn = None
        finally:
            if waiting:
                await self._leave(api, ticket)

    async def pause(self, api: str, seconds: float) -> None:
        """Hold back the whole fleet's calls to an API, after it answered 429."""
        self._meters.throttled(api)
        log.warning("api.throttled", api=api, pause_s=seconds)
        await self._exchange.ask(budget.pause(api, seconds), hurry=True)
        self._known_until[api] = 0.0

    async def failed(self, grant: Grant) -> Turned:
        """Tell that the call failed; what became of the breaker."""
        [reply] = await self._exchange.ask(budget.failed(grant.api, grant.ticket, self._policy), hurry=True)
        turned = budget.read_note(reply)
        if turned.open_s:
            self._known_until[grant.api] = 0.0
            self._meters.circuit(grant.api, turned.open_s)
        if turned.now:
            log.error("circuit.open", api=grant.api, probe_in_s=turned.open_s, probe_failed=grant.probe)
        return turned

    async def answered(self, grant: Grant) -> None:
        """Tell that the API answered; costs a command only for a probe."""
        self._meters.circuit(grant.api, 0.0)
        if not grant.probe:
            return
        [reply] = await self._exchange.ask(budget.mended(grant.api, grant.ticket), hurry=True)
        if budget.read_note(reply).now:
            log.info("circuit.closed", api=grant.api)

    async def _leave(self, api: str, ticket: str) -> None:
        # Best effort, on the way out of a cancellation: whoever does not come back is passed over anyway.
        with suppress(StorageUnavailable, asyncio.CancelledError):
            await asyncio.shield(self._exchange.ask(budget.leave(api, ticket), hurry=True))

    def _next_ticket(self) -> str:
        return f"{self._ticket}:{next(self._numbers)}"

    def _ask(self, api: str, ticket: str, priority: Priority, *, after_look: bool = False) -> Op:
        return budget.ask(
            api,
            ticket,
            priority,
            self._paces[api],
            probe_life_s=self._probe_lives_s[api],
            after_look=after_look,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _open(api: str, wait_s: float) -> CircuitOpen:
    return CircuitOpen(
        f"the circuit breaker of {api} is open", code="circuit_open", api=api, retry_after_s=wait_s
    )


def pace_of(rate: str) -> Pace:
    """The pace of a checked rate text (``10/minute``)."""
    limit = rate_burst(rate)
    return budget.pace(limit, rate_interval_s(rate) * limit)
