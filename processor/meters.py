"""What the processor counts, for Prometheus (docs/metrics.md). Labels have few values; none is a lead's."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schema.budget import APIS
from schema.calls import Finishing
from schema.events import AttemptFailed, EventIgnored, LeadProcessed

_WAIT_BUCKETS_S = (0.01, 0.1, 1, 5, 15, 60, 300, 1200)
_CALL_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STEP_BUCKETS_S = (0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300)
_LEAD_BUCKETS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 21_600, 86_400)

# What an error's code (without its API) says of the answer; `not_found` and C2S's own names are 4xx.
_STATUS = {
    "throttled": "429",
    "unauthorized": "refused",
    "dns": "not_sent",
    "refused": "not_sent",
    "connect_timeout": "not_sent",
    "timeout": "no_answer",
    "reset": "no_answer",
    "bad_answer": "no_answer",
    "fault": "no_answer",
    "malformed": "malformed",
    "too_large": "malformed",
}
_HTTP = re.compile(r"http_([345])\d\d")


class Meters:
    """Attempts, outside calls, turns and circuit breakers, as this instance saw them."""

    def __init__(
        self, registry: CollectorRegistry | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``registry`` is the one that is served; by default one of its own, which nobody reads."""
        made = registry or CollectorRegistry()
        self._clock = clock
        self._open_until = dict.fromkeys(APIS, 0.0)
        self._waits = Histogram(
            "c2s_budget_wait_seconds",
            "Wait for a turn in the fleet's budget",
            ["api"],
            registry=made,
            buckets=_WAIT_BUCKETS_S,
        )
        self._queued = Gauge(
            "c2s_budget_waiting", "Calls waiting for their turn here", ["api"], registry=made
        )
        self._throttled = Counter("c2s_api_throttled", "429 answers", ["api"], registry=made)
        self._circuits = Gauge("c2s_circuit_open", "1 while the breaker is open", ["api"], registry=made)
        for api in APIS:
            self._circuits.labels(api).set_function(partial(self._is_open, api))
        self._calls = Counter(
            "c2s_api_calls", "Outside calls by answer", ["api", "call", "status"], registry=made
        )
        self._call_seconds = Histogram(
            "c2s_api_call_seconds",
            "Time of an outside call",
            ["api", "status"],
            registry=made,
            buckets=_CALL_BUCKETS_S,
        )
        self._in_flight = Gauge("c2s_in_flight", "Leads in work here", registry=made)
        self._attempts = Counter("c2s_attempts", "Attempts begun", ["action"], registry=made)
        self._outcomes = Counter("c2s_outcomes", "Attempts ended, by outcome", ["outcome"], registry=made)
        self._steps = Histogram(
            "c2s_step_seconds", "Time of a step", ["step"], registry=made, buckets=_STEP_BUCKETS_S
        )
        # Looking a label up costs more than counting, and these are counted for every lead.
        self._attempts_of = cache(self._attempts.labels)
        self._outcomes_of = cache(self._outcomes.labels)
        self._steps_of = cache(self._steps.labels)
        self._leads = Histogram(
            "c2s_lead_seconds",
            "From the webhook's acceptance to its event's good end",
            registry=made,
            buckets=_LEAD_BUCKETS_S,
        )
        self._takeovers = Counter(
            "c2s_lease_takeovers", "Leads taken over whose last attempt never ended", registry=made
        )
        self._lost = Counter("c2s_leases_lost", "Leases lost to another instance or to time", registry=made)

    @contextmanager
    def waiting(self, api: str) -> Iterator[None]:
        """A call that waits for its turn."""
        with self._queued.labels(api).track_inprogress(), self._waits.labels(api).time():
            yield

    def throttled(self, api: str) -> None:
        """A 429."""
        self._throttled.labels(api).inc()

    def circuit(self, api: str, open_s: float) -> None:
        """The breaker is open for so many more seconds, or closed (0)."""
        self._open_until[api] = self._clock() + open_s if open_s else 0.0

    def called(self, api: str, call: str, outcome: str, seconds: float) -> None:
        """An outside call ended: the ``after_call`` of `processor.outside.http`."""
        status = status_of(api, outcome)
        self._calls.labels(api, call, status).inc()
        self._call_seconds.labels(api, status).observe(seconds)

    def in_flight(self, count: Callable[[], int]) -> None:
        """Where to read the number of leads in work."""
        self._in_flight.set_function(count)

    def started(self, action: str, *, expired: bool) -> None:
        """An attempt began; ``expired``: the one before never ended."""
        self._attempts_of(action).inc()
        if expired:
            self._takeovers.inc()

    def lost(self) -> None:
        """A lease was lost."""
        self._lost.inc()

    def ended(self, item: Finishing, timings_ms: Mapping[str, int], seconds: float) -> None:
        """An attempt's end is recorded, so many seconds after its webhook was accepted."""
        self._outcomes_of(outcome_of(item)).inc()
        for step, ms in timings_ms.items():
            self._steps_of(step).observe(ms / 1000)
        if isinstance(item.outcome, LeadProcessed):
            self._leads.observe(max(0.0, seconds))

    def _is_open(self, api: str) -> float:
        return float(self._clock() < self._open_until[api])


def outcome_of(item: Finishing) -> str:
    """The label of an attempt's end; few values, whatever happened."""
    match item.outcome:
        case None:
            return "handed_back"
        case LeadProcessed(result=result):
            return result
        case AttemptFailed(counted=counted):
            return "failed" if counted else "waits"
        case EventIgnored(reason=reason):
            return reason
        case _:
            return "dead_lettered"


def status_of(api: str, outcome: str) -> str:
    """The label of a call's end, from its outcome: ``ok``, ``cancelled`` or an error's code."""
    if outcome in ("ok", "cancelled"):
        return outcome
    code = outcome.removeprefix(f"{api}_")
    if http := _HTTP.fullmatch(code):
        return f"{http[1]}xx"
    return _STATUS.get(code, "4xx")
