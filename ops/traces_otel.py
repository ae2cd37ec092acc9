"""Spans by OpenTelemetry, sent in batches by a thread; imported only where a collector is named."""

import threading
import time
from types import TracebackType
from typing import Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ops.traces import Attribute

_TIMEOUT_S = 3
_CLOSE_S = 4.0
_PROPAGATOR = TraceContextTextMapPropagator()


class LiveSpan:
    """A span under way."""

    def __init__(self, made: trace.Span) -> None:
        self._span = made

    @property
    def traceparent(self) -> str:
        """W3C trace context, version 00."""
        own = self._span.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{int(own.trace_flags):02x}"

    def set(self, **attributes: Attribute) -> None:
        """Say more of it."""
        self._span.set_attributes(attributes)

    def __enter__(self) -> Self:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End it; of an error its type and code are told, for its text is for people."""
        otel_context.detach(self._token)
        if kind is not None:
            self._span.set_attribute("error.type", kind.__name__)
            if isinstance(code := getattr(error, "code", None), str):
                self._span.set_attribute("error.code", code)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


class OpenTelemetry:
    """The tracer of one process."""

    def __init__(self, endpoint: str, *, service: str, instance: str) -> None:
        """Begin to send.

        Args:
            endpoint: base URL of an OTLP/HTTP collector.
            service: ingress, processor or projector.
            instance: name of the process.
        """
        resource = Resource.create({"service.name": f"c2s-{service}", "service.instance.id": instance})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces", timeout=_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("c2s-leadstream")

    def span(self, name: str, parent: str, attributes: dict[str, Attribute]) -> LiveSpan:
        """A span that begins now."""
        return LiveSpan(self._tracer.start_span(name, _context(parent), attributes=attributes))

    def record(self, name: str, parent: str, seconds: float, attributes: dict[str, Attribute]) -> None:
        """A span that ended just now."""
        end_ns = time.time_ns()
        start_ns = end_ns - round(seconds * 1e9)
        made = self._tracer.start_span(name, _context(parent), attributes=attributes, start_time=start_ns)
        made.end(end_ns)

    def close(self) -> None:
        """Send the rest, as far as a few seconds allow: a collector that is away must not hold up an end."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_CLOSE_S)


def _context(parent: str) -> Context | None:
    """Of a ``traceparent``; None means the span that is current."""
    return _PROPAGATOR.extract({"traceparent": parent}, Context()) if parent else None
