"""aiohttp's server with its edges filed off: quiet, bounded, echoing nothing it could not parse."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.hdrs import EXPECT
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from ingress.problems import CONTENT_TYPE, OVERLOAD_RETRY_S, document, of_status, overloaded, where
from ops.settings import Settings

log = structlog.get_logger()

# Handlers, middlewares and all, by method and path.
Shortcuts = Mapping[tuple[str, str], Handler]
Serve = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

_LINGERING_S = 1.0
_GRACE_S = 1.0
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

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As aiohttp, but without a page of its own: that for an unmet ``Expect`` quotes the header."""
        if isinstance(resp, web.HTTPException):  # raised outside the middleware
            resp = of_status(resp.status)
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


class QuietServer(web.Server):
    """Makes `QuietHandler`s, and holds the number of connections down.

    A newcomer beyond the limit takes the place of the oldest connection that waits for a request, so that a
    crowd that says nothing keeps nobody out; only where all are at work is it turned away. Who must go is
    decided a second later, so that everybody has that long to begin: a crowd that comes at once would
    else end a connection whose request is on its way.
    """

    most_connections: int
    _crowded = False

    def __call__(self) -> RequestHandler:
        return QuietHandler(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Admit a connection; called before anything is read from it."""
        super().connection_made(handler, transport)
        crowded = len(self._connections) > self.most_connections
        if crowded and not self._crowded:
            log.warning("connections.full", most=self.most_connections)
        self._crowded = crowded
        if not crowded:
            return
        idle = self._oldest_idle(handler) is not None
        if idle and len(self._connections) <= 2 * self.most_connections:
            self._loop.call_later(_GRACE_S, self._make_room)
        elif not idle or not self._make_room():
            transport.write(_FULL)
            handler.force_close()

    def _make_room(self) -> bool:
        idle = self._oldest_idle() if len(self._connections) > self.most_connections else None
        if idle is not None:
            idle.force_close()
        return idle is not None

    def _oldest_idle(self, but: RequestHandler | None = None) -> RequestHandler | None:
        for handler in self._connections:
            waiter = handler._waiter  # noqa: SLF001 -- set exactly while a connection waits for a request
            if handler is not but and waiter is not None and not waiter.done():
                return handler
        return None


class QuietRunner(web.AppRunner):
    """Runs an application behind a `QuietServer`."""

    def __init__(
        self,
        app: web.Application,
        shortcuts: Shortcuts,
        settings: Settings,
        server: Callable[..., QuietServer] = QuietServer,
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=settings.keepalive_secs,
            lingering_time=_LINGERING_S,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            shutdown_timeout=settings.shutdown_deadline_secs,
        )
        self._most_connections = settings.max_connections
        self._shortcuts = shortcuts
        self._quiet_server = server

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        server = self._quiet_server(
            _shortened(plain.request_handler, self._shortcuts),
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            loop=plain._loop,  # noqa: SLF001 -- the runner builds its server with no other hook
            **plain._kwargs,  # noqa: SLF001
        )
        server.most_connections = self._most_connections
        return server


def _shortened(handle: Serve, shortcuts: Shortcuts) -> Serve:
    """Past aiohttp's router where nothing is to be routed: it costs a webhook a tenth of its time.

    Only for the plain path, without a query or an ``Expect``; all else goes the usual way.
    """

    def choose(request: BaseRequest) -> Awaitable[web.StreamResponse]:
        handler = shortcuts.get((request.method, request.raw_path))
        if handler is None or EXPECT in request.headers or not isinstance(request, web.Request):
            return handle(request)
        return handler(request)

    return choose


def _full() -> bytes:
    """What a connection too many is told, whatever it may want."""
    answer = overloaded("All connections are in use; try again.")
    body = document(answer.status, answer.code, str(answer)).body
    assert isinstance(body, bytes)  # noqa: S101 -- narrows for the type checker
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"Retry-After: {OVERLOAD_RETRY_S}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_FULL = _full()
