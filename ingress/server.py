"""aiohttp's server with its edges filed off: quiet, bounded, echoing nothing it could not parse."""

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from ingress.problems import of_status, where

log = structlog.get_logger()

# Longer than the idle time of common reverse proxies, so that it is they who close.
KEEPALIVE_S = 75.0
_LINGERING_S = 1.0
_SERVER_ERROR = 500


class QuietHandler(RequestHandler):
    """A connection whose protocol errors become problem documents and end it."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = _SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- aiohttp's text quotes the input
    ) -> web.StreamResponse:
        """Instead of aiohttp's page with the offending bytes."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionError("the connection broke before the answer was through")
        if exc is not None:
            kind = type(exc).__name__
            if status >= _SERVER_ERROR:
                log.error("request.failed", kind=kind, where=where(exc))
            else:
                log.info("http.malformed", kind=kind)
        response = of_status(status)
        response.force_close()
        return response


class QuietServer(web.Server):
    """Makes `QuietHandler`s."""

    def __call__(self) -> RequestHandler:
        return QuietHandler(self, loop=self._loop, **self._kwargs)


class QuietRunner(web.AppRunner):
    """Runs an application behind a `QuietServer`."""

    def __init__(self, app: web.Application, *, shutdown_timeout_s: float) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=_LINGERING_S,
            shutdown_timeout=shutdown_timeout_s,
        )

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return QuietServer(
            plain.request_handler,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            loop=plain._loop,  # noqa: SLF001 -- the runner builds its server with no other hook
            **plain._kwargs,  # noqa: SLF001
        )
