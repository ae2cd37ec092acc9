"""Every metric of ours as the code makes it: name as scraped, type and labels."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from ingress.metrics import door_metrics
from processor.meters import Meters
from projections.fleet import Fleet
from projections.meters import ProjectorMeters

Metrics = dict[str, tuple[str, frozenset[str]]]


def made_by(process: str) -> Metrics:
    """The metrics of a process: ingress, processor or projector."""
    registry = CollectorRegistry()
    match process:
        case "ingress":
            door_metrics(registry)
        case "processor":
            Meters(registry)
        case "projector":
            ProjectorMeters(registry)
            registry.register(Fleet("redis://127.0.0.1:1", 1))
    return dict(_told(registry))


def all_metrics() -> Metrics:
    """Those of all processes."""
    return made_by("ingress") | made_by("processor") | made_by("projector")


def _told(registry: CollectorRegistry) -> Iterator[tuple[str, tuple[str, frozenset[str]]]]:
    for collector in registry._collector_to_names:
        families = collector.describe()
        for family in families:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            ours = collector if isinstance(collector, MetricWrapperBase) else family
            yield name, (family.type, frozenset(ours._labelnames))
