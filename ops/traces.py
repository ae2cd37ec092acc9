"""Traces: one from webhook to row, for those who collect them (docs/traces.md).

Off (no OTEL_EXPORTER_OTLP_ENDPOINT) nothing of OpenTelemetry is imported, and a span costs one call that does
nothing. Like the logs, traces are set up once by each process and used from wherever something happens.

Between processes the trace travels as ``traceparent`` in the stream entries. Attributes are ids, names of
ours and error types: never personal data, URLs or tokens, and never an error's text.
"""

from types import TracebackType
from typing import Protocol, Self

from ops.settings import Settings
from schema.errors import SettingsError

Attribute = str | int | float


class Span(Protocol):
    """Something under way, as a context manager; spans begun inside it are its children.

    Attributes:
        traceparent: W3C trace context of the span, or empty where traces are off.
    """

    @property
    def traceparent(self) -> str: ...
    def set(self, **attributes: Attribute) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backend(Protocol):
    """What makes and sends spans."""

    def span(self, name: str, parent: str, attributes: dict[str, Attribute]) -> Span: ...
    def record(self, name: str, parent: str, seconds: float, attributes: dict[str, Attribute]) -> None: ...
    def close(self) -> None: ...


class Nothing:
    """The span of a process without traces; one for all."""

    traceparent = ""

    def set(self, **attributes: Attribute) -> None:
        """Keep nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End nothing."""


_NOTHING = Nothing()
_backend: Backend | None = None


def set_up(settings: Settings, service: str) -> None:
    """Send this process's spans to the collector that the settings name; without one, do nothing.

    Raises:
        SettingsError: a collector is named, but the extra ``otel`` is not installed.
    """
    global _backend  # noqa: PLW0603 -- one per process, as logging has
    endpoint = settings.otel_exporter_otlp_endpoint
    if not endpoint:
        return
    try:
        from ops.traces_otel import OpenTelemetry  # noqa: PLC0415 -- 15 MB that only traces need
    except ImportError:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: needs the extra `otel`, not installed here"
        ) from None
    _backend = OpenTelemetry(endpoint, service=service, instance=settings.instance)


def close() -> None:
    """Send what was not sent yet (for a few seconds at most), and trace no more."""
    global _backend  # noqa: PLW0603 -- see above
    if _backend is not None:
        _backend.close()
    _backend = None


def on() -> bool:
    """Whether spans go anywhere."""
    return _backend is not None


def span(name: str, parent: str = "", **attributes: Attribute) -> Span:
    """Something that begins now.

    Args:
        name: short and of few values.
        parent: the ``traceparent`` of what it belongs to; empty for the span it is begun in.
        attributes: ids and names of ours.
    """
    if _backend is None:
        return _NOTHING
    return _backend.span(name, parent, attributes)


def record(name: str, parent: str, seconds: float, **attributes: Attribute) -> None:
    """Something that ended just now and took so many seconds; passed over without a ``parent``."""
    if _backend is not None and parent:
        _backend.record(name, parent, seconds, attributes)
