"""Execute: one attempt from its lease to its end, and the recording of that end.

The lease's heartbeat is the engine's business; when it is lost, the engine cancels this work and nothing is
written: the new owner decides.
"""

import asyncio
import random
import traceback
from dataclasses import dataclass, field

import structlog
from redis.exceptions import ResponseError

from ops import traces
from processor import ending
from processor.elsewhere import OnePlace, Places
from processor.meters import Meters, outcome_of
from processor.pipeline import Pipeline
from processor.policy import BackoffPolicy
from processor.store import LeadStore, is_group_gone
from processor.work import Work, current_work
from schema.calls import ENDED, Finished, Finishing
from schema.codec import PayloadCodec
from schema.errors import (
    KeyMissing,
    LeadstreamError,
    LeaseLost,
    Permanent,
    StorageUnavailable,
    Throttled,
    Unauthorized,
)
from schema.events import AttemptFailed, LeadProcessed

log = structlog.get_logger()

_UNAUTHORIZED = {
    "c2s": "c2s.unauthorized",
    "diretrix": "diretrix.unauthorized",
    "work": "work.unauthorized",
}
_FINISH_TRIES_S = (0.1, 0.5, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs attempts.

    Attributes:
        places: looks where else the lead is, while the number of partitions is being changed.
    """

    pipeline: Pipeline
    store: LeadStore
    codec: PayloadCodec
    policy: BackoffPolicy
    rng: random.Random
    meters: Meters = field(default_factory=Meters)
    places: Places = field(default_factory=OnePlace)

    async def attempt(self, work: Work) -> Finishing | None:
        """Run the attempt; how it is to end, or None where the lease was lost on the way."""
        current_work.set(work)
        began = self.store.rhythm.began()
        try:
            with traces.span("attempt", work.event.traceparent, **_traced(work)) as attempting:
                item = await self._attempt(work)
                if traces.on():
                    attempting.set(outcome=outcome_of(item))
            return item  # noqa: TRY300 -- what follows is the other way
        except LeaseLost as lost:
            log.warning("lease.lost", **work.names(), step=work.step, error=str(lost))
            self.meters.lost()
            return None
        finally:
            self.store.rhythm.ended(began)

    async def _attempt(self, work: Work) -> Finishing:
        try:
            if work.attempt > self.policy.max_attempts:
                raise Permanent(  # noqa: TRY301 -- the one way to a dead letter
                    f"{work.attempt - 1} attempts ended without a word (crashed or lost)",
                    code="attempts_exhausted",
                )
            await self.places.before(work)
            result = await self.pipeline.run(work)
        except LeaseLost:
            raise
        except LeadstreamError as error:
            item = ending.badly(work, error, self.policy, self.rng)
            _log_failure(work, item, error)
        except Exception as error:  # noqa: BLE001 -- a bug must not lose the lead: retried, then a dead letter
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            log.error("attempt.unexpected", **work.names(), kind=type(error).__name__, where=where)  # noqa: TRY400 -- a trace may quote data
            item = ending.badly(work, error, self.policy, self.rng)
            _log_failure(work, item, error)
        else:
            item = ending.well(work, result, self.codec)
            # One call without a bound logger, for it is made for every lead.
            log.info(
                "lead.processed", **work.names(), result=result.name, calls=work.calls, ms=work.timings_ms
            )
        return item

    async def finish(
        self, work: Work, item: Finishing, begun: asyncio.Future[Finished] | None = None
    ) -> Finished | None:
        """Record the end, trying again while Redis is away: the fence makes a repeat harmless.

        None where the lease was lost, or Redis stayed away: the entry will be taken over.

        Args:
            work: the attempt.
            item: its end.
            begun: the first try, under way or over already; see `ended`.
        """
        for pause_s in (*_FINISH_TRIES_S, None):
            try:
                with traces.span("finish", work.event.traceparent, **_traced(work)):
                    done = await asyncio.shield(begun or self.store.finish(item))
            except (StorageUnavailable, ResponseError) as error:
                if isinstance(error, ResponseError) and not is_group_gone(error):
                    raise
                if pause_s is None:
                    log.warning("finish.unavailable", **work.names(), error=str(error))
                    return None
                begun = None
                await asyncio.sleep(pause_s)
                continue
            if not done.held:
                log.warning("lease.lost", **work.names(), step="finish")
                self.meters.lost()
                return None
            self._count(work, item)
            if item.outcome is not None and not isinstance(item.outcome, AttemptFailed):
                await self.places.after(work)
            return done
        return None

    def ended(self, work: Work, item: Finishing, recorded: asyncio.Future[Finished]) -> bool:
        """See to an end that went as nearly all do: a good one, recorded at the first try, nothing follows.

        False for any other: that is for `finish`.
        """
        if recorded.cancelled() or recorded.exception() or recorded.result() != ENDED:
            return False
        if not isinstance(item.outcome, LeadProcessed) or not isinstance(self.places, OnePlace):
            return False
        self._count(work, item)
        return True

    def _count(self, work: Work, item: Finishing) -> None:
        seconds = work.now_s() - work.event.received_at.timestamp()
        self.meters.ended(item, work.timings_ms, seconds)


def _traced(work: Work) -> dict[str, str | int]:
    return work.names() if traces.on() else {}


def _log_failure(work: Work, item: Finishing, error: Exception) -> None:
    bound: structlog.typing.FilteringBoundLogger = log.bind(**work.names())
    outcome = item.outcome
    code, step, kind = getattr(outcome, "code", ""), getattr(outcome, "step", ""), type(error).__name__
    if isinstance(error, KeyMissing):
        bound.error("payload.key_missing", step=step, error=str(error))
    elif isinstance(error, Unauthorized):
        # Nothing is lost, but nothing goes on either until somebody mends the account.
        bound.error(_UNAUTHORIZED.get(error.api, "account.unauthorized"), code=code, step=step)
    elif isinstance(error, Throttled) and code.endswith("_throttled"):
        bound.warning("api.throttled", api=error.api, step=step, wait_s=item.delay_s)
    elif isinstance(error, Permanent) and code == "lead_gone":
        bound.warning("lead.gone", step=step)
    if outcome and outcome.type == "lead_dead_lettered":
        bound.error("lead.dead_lettered", code=code, step=step, kind=kind)
    else:
        bound.warning("attempt.failed", code=code, step=step, kind=kind, retry_in_s=item.delay_s)
