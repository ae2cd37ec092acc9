"""Metrics: one Prometheus registry per process, made by its composition root and handed to who counts.

What each of them means stands in docs/metrics.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from schema.errors import SettingsError

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def new_registry() -> CollectorRegistry:
    """A registry with what describes the process itself: memory, CPU, open files, Python, garbage."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, of no meaning here
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """The registry in Prometheus' text format; serve it as `CONTENT_TYPE`."""
    return generate_latest(registry)


@contextmanager
def served(registry: CollectorRegistry, port: int) -> Iterator[None]:
    """Serve ``/metrics`` from a thread of its own during the block; port 0 serves nothing.

    Raises:
        SettingsError: the port cannot be opened.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, registry=registry)
    except OSError as error:
        raise SettingsError(f"METRICS_PORT: {port} cannot be opened: {type(error).__name__}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
