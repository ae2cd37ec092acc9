"""The fleet's budget of outside calls, as one instance uses it: take a turn, tell how the call ended.

Protocol and reasons: docs/budget.md. Redis is the authority on turns, pauses and circuit breakers. Every call
of every instance takes its turn there and sleeps until it; nobody polls. With Redis away the call waits for
it (`StorageUnavailable`): without the shared budget a fleet would overrun it together.
"""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from ops import traces
from ops.redis import Client, run
from ops.settings import Settings, rate_burst, rate_interval_s
from processor.meters import Meters
from schema import budget
from schema.budget import BreakerPolicy, Pace, Priority, Turned
from schema.errors import CircuitOpen, StorageUnavailable
from schema.scripts import ScriptCall

Sleep = Callable[[float], Awaitable[None]]

log = structlog.get_logger()

PAUSE_S = 10.0  # after a 429 that does not say how long
_PROBE_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A turn that was given: one call to one API.

    Attributes:
        probe: whether the API's breaker closes depends on it.
    """

    api: str
    ticket: str
    probe: bool = False


class Turns(Protocol):
    """What the pipeline's calls need of the budget."""

    async def acquire(self, api: str, priority: Priority) -> Grant: ...
    async def pause(self, api: str, seconds: float) -> None: ...
    async def failed(self, grant: Grant) -> Turned: ...
    async def answered(self, grant: Grant) -> None: ...


class Budgets:
    """The turns of all outside APIs, in Redis."""

    def __init__(
        self, client: Client, settings: Settings, sleep: Sleep = asyncio.sleep, meters: Meters | None = None
    ) -> None:
        s = settings
        self._client = client
        self._sleep = sleep
        self._meters = meters or Meters()
        # Random too: an instance that is started anew under its name must not meet its old tickets.
        self._ticket = f"{s.instance}:{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._policy = BreakerPolicy(
            s.breaker_failure_rate, s.breaker_failures, s.breaker_open_secs, s.breaker_open_max_secs
        )
        rates = {"c2s": s.c2s_rate_limit, "diretrix": s.diretrix_rate_limit, "work": s.work_api_rate_limit}
        self._paces = {api: pace_of(rate) for api, rate in rates.items()}
        self._probe_lives_s = dict.fromkeys(rates, s.http_timeout_secs + _PROBE_MARGIN_S)
        self._probe_lives_s["work"] = s.work_api_timeout_secs + _PROBE_MARGIN_S

    async def acquire(self, api: str, priority: Priority = Priority.RECONCILE) -> Grant:
        """Wait for this call's turn.

        Raises:
            CircuitOpen: the API's breaker is open.
            StorageUnavailable: Redis is away.
        """
        ticket = f"{self._ticket}:{next(self._numbers)}"
        ask = budget.ask(api, ticket, priority, self._paces[api], probe_life_s=self._probe_lives_s[api])
        waiting = False
        try:
            with self._meters.waiting(api), traces.span("turn", api=api):
                while True:
                    turn = budget.read_ask(await self._run(ask))
                    match turn.state:
                        case "go":
                            waiting = False
                            return Grant(api, ticket, turn.probe)
                        case "open":
                            waiting = False
                            self._meters.circuit(api, turn.wait_s)
                            raise CircuitOpen(
                                f"the circuit breaker of {api} is open",
                                code="circuit_open",
                                api=api,
                                retry_after_s=turn.wait_s,
                            )
                    waiting = True
                    await self._sleep(turn.wait_s)
        finally:
            if waiting:
                await self._leave(api, ticket)

    async def pause(self, api: str, seconds: float) -> None:
        """Hold back the whole fleet's calls to an API, after it answered 429."""
        self._meters.throttled(api)
        log.warning("api.throttled", api=api, pause_s=seconds)
        await self._run(budget.pause(api, seconds))

    async def failed(self, grant: Grant) -> Turned:
        """Tell that the call failed; what became of the breaker."""
        turned = budget.read_note(await self._run(budget.failed(grant.api, grant.ticket, self._policy)))
        if turned.open_s:
            self._meters.circuit(grant.api, turned.open_s)
        if turned.now:
            log.error("circuit.open", api=grant.api, probe_in_s=turned.open_s, probe_failed=grant.probe)
        return turned

    async def answered(self, grant: Grant) -> None:
        """Tell that the API answered; costs a command only for a probe."""
        self._meters.circuit(grant.api, 0.0)
        if grant.probe and budget.read_note(await self._run(budget.mended(grant.api, grant.ticket))).now:
            log.info("circuit.closed", api=grant.api)

    async def _leave(self, api: str, ticket: str) -> None:
        # Best effort, on the way out of a cancellation: whoever does not come back is passed over anyway.
        with suppress(StorageUnavailable, asyncio.CancelledError):
            await asyncio.shield(self._run(budget.leave(api, ticket)))

    async def _run(self, call: ScriptCall) -> Any:
        return await run(self._client, call)


def pace_of(rate: str) -> Pace:
    """The pace of a checked rate text (``10/minute``)."""
    limit = rate_burst(rate)
    return budget.pace(limit, rate_interval_s(rate) * limit)
