"""Logs: structlog, one event name per thing that happens, JSON for machines and a console on a terminal."""

import asyncio
import atexit
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, Literal

import orjson
import structlog

# Whatever looks like an e-mail address, a CPF or a phone: the last guard, for values that nobody foresaw.
_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w.-])(?:\d{3}\.\d{3}\.\d{3}-\d{2}"
    r"|(?:\+?55 ?)?\(?\d{2}\)?[ -]?9?\d{4}[ -]?\d{4})(?![\w-])"
)
_MASK = "[personal]"
# Fields that hold ids, our own words and numbers by these: not looked at, for a busy door's sake.
_OURS = frozenset(
    {
        "event",
        "event_id",
        "lead_id",
        "entry_id",
        "erasure_id",
        "instance",
        "action",
        "code",
        "step",
        "kind",
        "api",
        "result",
        "reason",
        "service",
        "level",
        "status",
        "state",
        "source",
        "partition",
        "loop",
        "route",
        "version",
        "where",
        "traceparent",
        "trace_id",
        "span_id",
        "calls",
        "ms",
    }
)
# What several processes write into one pipe is not mixed up to here (POSIX: PIPE_BUF, on Linux this).
_WHOLE_BYTES = 4096
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LineWriter:
    """Writes the log lines of one turn of the event loop together.

    A system call for each costs a busy door a tenth of its time. From a warning on, and outside a loop, lines
    are written at once; so what a killed process may lose is the calm part of its last turn.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lines: list[bytes] = []
        atexit.register(self.flush)

    def msg(self, line: bytes) -> None:
        """Write a line by the end of this turn."""
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    debug = info = msg

    def urgent(self, line: bytes) -> None:
        """Write a line, and all before it, now."""
        self._lines.append(line)
        self.flush()

    warning = error = critical = exception = fatal = urgent

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        whole = b"\n".join(lines) + b"\n"
        if len(whole) <= _WHOLE_BYTES:
            self._out.write(whole)
        else:
            for part in _parts(lines):
                self._out.write(part)
                self._out.flush()
        self._out.flush()


def setup_logs(level: str, fmt: Literal["auto", "json", "console"], *, service: str, instance: str) -> None:
    """Configure logging for this process; called once by each composition root.

    Control characters in values cannot forge a line: JSON escapes them, the console shows their repr.
    """
    console = fmt == "console" or (fmt == "auto" and sys.stdout.isatty())
    processors: list[structlog.typing.Processor]
    factory: structlog.typing.WrappedLogger
    if console:
        processors = [
            structlog.processors.format_exc_info,
            _guarded_event,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            partial(_with, {"service": service, "instance": instance}),
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()),
        ]
        factory = structlog.PrintLoggerFactory()
    else:
        processors = [partial(_as_json, {"service": service, "instance": instance})]
        writer = LineWriter(sys.stdout.buffer)
        factory = lambda *_args: writer  # noqa: E731 -- one writer for all loggers
    made = structlog.make_filtering_bound_logger(_LEVELS[level])
    structlog.configure(
        processors=processors,
        wrapper_class=made if console or level not in ("debug", "info") else _busy(made),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library; their warnings belong on the same stream. aiohttp's own
    # access log would name URLs with tokens, so it never speaks.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Guarded("%(name)s %(levelname)s %(message)s"))
    logging.getLogger("aiohttp.access").disabled = True


def _busy(made: type[structlog.typing.FilteringBoundLogger]) -> type[structlog.typing.FilteringBoundLogger]:
    """The same logger with a short way for the lines of a busy door: half the time, the same line."""

    class Busy(made):  # type: ignore[valid-type, misc]
        def info(self, event: str, *args: object, **fields: object) -> object:
            # The short way is that of our one processor. (Tests put their own in its place.)
            render = self._processors[0]
            if args or self._context or type(render) is not partial:
                return super().info(event, *args, **fields)
            return self._logger.info(render(None, "info", {"event": event, **fields}))

    return Busy


def _parts(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Lines put together as far as one write is whole for sure; a longer line is by itself."""
    part = b""
    for line in lines:
        if part and len(part) + len(line) >= _WHOLE_BYTES:
            yield part
            part = b""
        part += line + b"\n"
    yield part


class _Guarded(logging.Formatter):
    """Of libraries' lines, whose words are not ours."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def masked(text: str) -> str:
    """The text with all that looks personal taken out."""
    return _PERSONAL.sub(_MASK, text)


def _guarded_event(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for name, value in event.items():
        # Numbers are measures of ours; anything else may hold a stranger's text, however deep.
        if name in _OURS or value is None or isinstance(value, (int, float)):
            continue
        text = value if isinstance(value, str) else str(value)
        if _PERSONAL.search(text):
            event[name] = masked(text)
    return event


def _with(
    process: dict[str, str], _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {**event, **process}


def _as_json(
    process: dict[str, str], logger: object, method: str, event: structlog.typing.EventDict
) -> bytes:
    """All that a line needs in one step: a busy door writes thousands a second."""
    if "exc_info" in event:
        event = dict(structlog.processors.format_exc_info(logger, method, event))
    event = _guarded_event(logger, method, event)
    line = {
        **process,
        **event,
        "level": method,
        "timestamp": datetime.now(UTC),
    }
    return orjson.dumps(line, default=str)
