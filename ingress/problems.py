"""Problem documents (RFC 9457): what every answer that is not a success looks like.

A document says what is wrong in words of ours and carries a stable ``code``; it never echoes input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePath
from traceback import extract_tb

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter

from schema.errors import LeadstreamError

log = structlog.get_logger()

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
OVERLOAD_RETRY_S = 1
_FRAMES = 3

# Codes of what aiohttp itself answers; every other status is known by its number.
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    417: "expectation_failed",
    500: "internal_error",
}
_DETAILS = {
    400: "The request cannot be understood.",
    404: "There is nothing here.",
    405: "This address does not take that method.",
    413: "The body is larger than this door takes.",
    417: "The only expectation that can be met is 100-continue.",
    500: "Something went wrong here; it has been logged. Trying again is safe.",
}


class Refusal(LeadstreamError):  # noqa: N818 -- an answer of ours, not a failure
    """A request that is answered with a problem document.

    Attributes:
        status: HTTP status.
        code: stable code of the problem.
        event: name of the log line.
        close: whether the connection ends with it (input was left unread).
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        event: str = "webhook.refused",
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.event = event
        self.headers = dict(headers or {})
        self.close = close


class AuthError(Refusal):
    """Nothing vouches for the request."""

    def __init__(self, code: str, detail: str, *, status: int = 401) -> None:
        super().__init__(status, code, detail, event="auth.rejected")


def not_found() -> AuthError:
    """A wrong URL token: the same answer as for any address that does not exist."""
    return AuthError(_CODES[404], _DETAILS[404], status=404)


def unavailable(detail: str, event: str = "webhook.unavailable") -> Refusal:
    """Neither Redis nor Postgres can store anything."""
    retry = {"Retry-After": str(RETRY_AFTER_S)}
    return Refusal(503, "unavailable", detail, event=event, headers=retry)


def overloaded(detail: str, *, close: bool = False) -> Refusal:
    """More is in work here than memory allows; another process, or this one in a moment, can take it."""
    retry = {"Retry-After": str(OVERLOAD_RETRY_S)}
    return Refusal(503, "overloaded", detail, event="webhook.overloaded", headers=retry, close=close)


def document(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A problem document as a response."""
    body = {
        "type": f"urn:c2s-leadstream:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return web.Response(status=status, body=orjson.dumps(body), content_type=CONTENT_TYPE, headers=headers)


def answer_to(refusal: Refusal) -> web.Response:
    response = document(refusal.status, refusal.code, str(refusal), refusal.headers)
    if refusal.close:
        response.force_close()
    return response


def of_status(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """The problem document for a status that aiohttp chose."""
    known = status in _CODES
    code = _CODES[status] if known else f"http_{status}"
    return document(status, code, _DETAILS[status] if known else HTTPStatus(status).phrase, headers)


def where(error: BaseException) -> list[str]:
    """The innermost frames of an error, without its text: that could quote what was being handled."""
    frames = extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in frames]


@dataclass(frozen=True, slots=True)
class Problems:
    """The one middleware: every error becomes a problem document, a log line and a count.

    Attributes:
        refused: counter with the label ``code``.
    """

    refused: Counter

    def middleware(self) -> Middleware:
        @web.middleware
        async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refusal as refusal:
                return self.refuse(request, refusal)
            except web.HTTPException as error:
                allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
                self.refused.labels(code=_CODES.get(error.status, f"http_{error.status}")).inc()
                return of_status(error.status, allow)
            except ConnectionError:
                raise  # the client left: nobody to answer
            except Exception as error:  # noqa: BLE001 -- the last line of defence; logged, never swallowed
                return self._failed(request, error)

        return problems

    def refuse(self, request: web.Request, refusal: Refusal) -> web.Response:
        """The answer to a refused request, logged and counted."""
        self.refused.labels(code=refusal.code).inc()
        log.warning(refusal.event, code=refusal.code, status=refusal.status, route=_route(request))
        return answer_to(refusal)

    def _failed(self, request: web.Request, error: Exception) -> web.Response:
        self.refused.labels(code=_CODES[500]).inc()
        log.error("request.failed", kind=type(error).__name__, where=where(error), route=_route(request))
        response = of_status(500)
        response.force_close()
        return response


def _route(request: web.Request) -> str:
    """The route's pattern; never the path, which may hold a token."""
    if request._match_info is None:  # noqa: SLF001 -- it took a shortcut: its path is the route's own
        return request.raw_path
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""
