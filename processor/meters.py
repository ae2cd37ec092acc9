"""What the processor counts of its outside calls, for Prometheus. Labels are API names only."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schema.budget import APIS

_WAIT_BUCKETS_S = (0.01, 0.1, 1, 5, 15, 60, 300, 1200)


class Meters:
    """Turns, throttling and circuit breakers, as this instance saw them."""

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

    def _is_open(self, api: str) -> float:
        return float(self._clock() < self._open_until[api])
