"""Logs: structlog, one event name per thing that happens, JSON for machines and a console on a terminal."""

import asyncio
import atexit
import logging
import sys
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, Literal

import orjson
import structlog

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
        if lines:
            self._out.write(b"\n".join(lines) + b"\n")
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
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library; their warnings belong on the same stream. aiohttp's own
    # access log would name URLs with tokens, so it never speaks.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("aiohttp.access").disabled = True


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
    line = {
        **process,
        **event,
        "level": method,
        "timestamp": datetime.now(UTC),
    }
    return orjson.dumps(line, default=str)
