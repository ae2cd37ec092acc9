"""Logs: structlog, one event name per thing that happens, JSON for machines and a console on a terminal."""

import logging
import sys
from typing import Literal

import orjson
import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def setup_logs(level: str, fmt: Literal["auto", "json", "console"], *, service: str, instance: str) -> None:
    """Configure logging for this process; called once by each composition root.

    Control characters in values cannot forge a line: JSON escapes them, the console shows their repr.
    """
    console = fmt == "console" or (fmt == "auto" and sys.stdout.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor]
    factory: structlog.typing.WrappedLogger
    if console:
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
        factory = structlog.PrintLoggerFactory()
    else:
        renderer = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
        factory = structlog.BytesLoggerFactory()
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    # Libraries speak through the standard library; their warnings belong on the same stream. aiohttp's own
    # access log would name URLs with tokens, so it never speaks.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("aiohttp.access").disabled = True


def _dumps(value: object, **kwargs: object) -> bytes:
    default = kwargs.get("default")
    return orjson.dumps(value, default=default if callable(default) else str)
