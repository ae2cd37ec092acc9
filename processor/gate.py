"""Between the pipeline and the outside: a turn before each call, and what its end teaches the fleet.

* before: the call's turn in the budget (or the one reserved for it, or asked for together with the look into
  the kept look-ups), its count, a last look at the lease.
* after: a 429 pauses the fleet's calls; a failure is told to the circuit breaker, and where the breaker is
  open already (a failed probe, a call that was under way when it opened) the error becomes `CircuitOpen`,
  which spends no attempt. An error of a call that may have had its effect stays as it is: the
  sender has to know.
"""

from contextvars import ContextVar

import structlog

from processor.budget import PAUSE_S, Asking, Begun, Grant, Turns
from processor.outside.answers import Malformed
from processor.work import Work, current_work
from schema.budget import Priority
from schema.errors import Ambiguous, CircuitOpen, PipelineError, Retryable, StorageUnavailable, Throttled

log = structlog.get_logger()

# Both hooks of a call run in the task that makes it, and a task makes one call at a time. It works on one
# lead after another, so what was asked ahead is kept with the lead that it was asked for.
_granted: ContextVar[Grant | None] = ContextVar("granted", default=None)
_begun: ContextVar[tuple[Work | None, Begun] | None] = ContextVar("begun", default=None)


class Gate:
    """The hooks of `processor.outside.http.Transport`, over one budget."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def reserve(self, work: Work, api: str) -> None:
        """Take the turn of this work's next call to an API now, so that the call itself need not wait.

        Raises:
            CircuitOpen: the API's breaker is open.
            StorageUnavailable: Redis is away.
        """
        work.reserved[api] = await self._turns.acquire(api, work.entry.priority)

    def ahead(self, api: str) -> Asking | None:
        """A question for the turn of this task's next call, to be asked with a look; None: needs no turn."""
        work = current_work.get()
        return self._turns.asking(api, work.entry.priority if work else Priority.RECONCILE)

    def begin(self, begun: Begun | None) -> None:
        """What this task's next call was told when it asked ahead."""
        _begun.set((current_work.get(), begun) if begun else None)

    async def before(self, api: str, _call: str) -> None:
        """Wait for the call's turn; see `reserve` for what it raises.

        Raises:
            LeaseLost: a message was about to be sent without a lease.
        """
        work = current_work.get()
        begun = _asked_ahead(work, api)
        if work is None:
            _granted.set(await self._turns.acquire(api, Priority.RECONCILE, begun))
            return
        grant = work.reserved.pop(api, None)
        _granted.set(grant or await self._turns.acquire(api, work.entry.priority, begun))
        work.calls[api] = work.calls.get(api, 0) + 1
        if work.sending:
            work.still_mine()

    async def after(self, api: str, error: PipelineError | None) -> PipelineError | None:
        """Learn from how a call ended; the error to raise in place of its own."""
        grant = _granted.get()
        if grant is None or grant.api != api:
            return error
        _granted.set(None)
        try:
            if isinstance(error, Throttled) and error.code == f"{api}_throttled":
                await self._turns.pause(api, error.retry_after_s or PAUSE_S)
            if is_failure(error):
                return await self._failed(grant, error)
            await self._turns.answered(grant)
        except StorageUnavailable as lost:
            log.warning("budget.unavailable", api=api, error=str(lost))
        return error

    async def _failed(self, grant: Grant, error: PipelineError | None) -> PipelineError | None:
        turned = await self._turns.failed(grant)
        opened_before = turned.open_s > 0 and (grant.probe or not turned.now)
        if not opened_before or isinstance(error, Ambiguous):
            return error
        return CircuitOpen(
            f"the circuit breaker of {grant.api} is open",
            code="circuit_open",
            api=grant.api,
            retry_after_s=turned.open_s,
        )


def _asked_ahead(work: Work | None, api: str) -> Begun | None:
    ahead = _begun.get()
    if ahead is None:
        return None
    _begun.set(None)
    whose, begun = ahead
    return begun if whose is work and begun.api == api else None


def is_failure(error: PipelineError | None) -> bool:
    """Whether the API is to blame: no answer or a 5xx. Any other answer shows that it is there."""
    return isinstance(error, Retryable) and not isinstance(error, Throttled | Malformed)
