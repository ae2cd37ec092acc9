"""What the projector counts, for Prometheus (docs/metrics.md)."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from projections.batch import Fact

_ROWS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class ProjectorMeters:
    """Batches, entries, faults, and whether this projector is the active one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.active = Gauge("c2s_projector_active", "1 while this projector projects", registry=registry)
        self.stalls = Counter("c2s_projector_stalls", "Outages that stopped projecting", registry=registry)
        self._entries = Counter(
            "c2s_projector_entries", "Stream entries projected", ["stream"], registry=registry
        )
        self._batches = Histogram(
            "c2s_projector_batch_entries", "Entries in a batch", registry=registry, buckets=_ROWS
        )
        self._seconds = Histogram(
            "c2s_projector_batch_seconds",
            "Time of a batch's transaction",
            registry=registry,
            buckets=_SECONDS,
        )

    def committed(self, facts: Sequence[Fact], seconds: float) -> None:
        """A batch is on record."""
        self._batches.observe(len(facts))
        self._seconds.observe(seconds)
        for stream, count in Tally(fact.stream for fact in facts).items():
            self._entries.labels(stream).inc(count)
