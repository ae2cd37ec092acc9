"""What the door counts."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
RESULTS = ("accepted", "duplicate", "ignored", "spooled", "refused", "rate_limited", "unavailable")


@dataclass(frozen=True, slots=True)
class Metrics:
    """The door's counters.

    Attributes:
        results: a counter for each of `RESULTS`, looked up once.
    """

    results: dict[str, Counter]
    accept_seconds: Histogram
    refusals: Counter
    previous_secret: Counter
    spooling: Gauge
    drained: Counter
    forwards: Counter
    forwards_waiting: Gauge
    forwards_oldest_s: Gauge


def door_metrics(registry: CollectorRegistry) -> Metrics:
    """The door's metrics in a registry."""
    webhooks = Counter(
        "c2s_webhooks",
        "Webhooks by what became of them; elements of a batch count each.",
        ["result"],
        registry=registry,
    )
    return Metrics(
        results={result: webhooks.labels(result) for result in RESULTS},
        accept_seconds=Histogram(
            "c2s_accept_seconds",
            "From the whole head of a webhook to its durable storage.",
            buckets=_BUCKETS_S,
            registry=registry,
        ),
        refusals=Counter(
            "c2s_refusals", "Requests answered with a problem, by its code.", ["code"], registry=registry
        ),
        previous_secret=Counter(
            "c2s_previous_secret",
            "Webhooks that still came with the previous secret.",
            ["kind"],
            registry=registry,
        ),
        spooling=Gauge("c2s_spooling", "1 while webhooks go to the spool in Postgres.", registry=registry),
        drained=Counter(
            "c2s_spool_drained", "Webhooks moved from the spool to the stream.", registry=registry
        ),
        forwards=Counter(
            "c2s_forwards",
            "Attempts to pass a webhook on to FORWARD_URL: delivered, failed, given_up.",
            ["result"],
            registry=registry,
        ),
        forwards_waiting=Gauge(
            "c2s_forwards_waiting", "Webhooks that wait to be passed on.", registry=registry
        ),
        forwards_oldest_s=Gauge(
            "c2s_forwards_oldest_seconds", "Age of the oldest of them; 0 for none.", registry=registry
        ),
    )
