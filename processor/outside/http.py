"""One way to call the outside APIs: bounded, typed, and silent about persons and tokens.

What a caller may rely on:

- One call is one request: no redirects, no cookies, no retries of ours. (aiohttp itself sends an
  *idempotent* request again, once, when a kept-alive connection turns out dead; never a POST.)
- It ends within ``timeout_s`` and reads at most ``max_bytes``, whatever the other side does.
- It ends in a decoded answer or in an error of `schema.errors`; the type says what to do.

Whether a failed request may have had an effect matters for one call only, the message to a lead
(``effect=True``). Nothing was sent where no connection came about: aiohttp's ``ClientConnectorError``
(refused, DNS, TLS) and ``ConnectionTimeoutError``. The connect timeout is half of the total, so that
the total timeout cannot strike while still connecting. Everything after that (timeout, reset, an answer
that breaks off or makes no sense, 3xx, 5xx) is `Ambiguous` for such a call, and `Retryable` for others.
A kept-alive connection that the server closed meanwhile looks the same as one closed after reading the
request (``ServerDisconnectedError``), so it is ambiguous too.

Error texts name the API and the call and never the URL, which holds tokens, phones and CPFs. For the
same reason errors are raised outside of ``except`` blocks: no traceback drags aiohttp's texts along.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog

from ops import traces
from processor.outside.answers import Failure, status_failure
from schema.errors import PipelineError, Retryable, SettingsError

BeforeCall = Callable[[str, str], Awaitable[None]]
AfterCall = Callable[[str, str, str, float], None]
Settle = Callable[[str, PipelineError | None], Awaitable[PipelineError | None]]
OK = "ok"
CANCELLED = "cancelled"

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 65_536
# Exception, code, text, whether the request may have been sent; the first that fits counts.
_BREAKS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (aiohttp.ClientConnectorDNSError, "dns", "the host's name does not resolve", False),
    (aiohttp.ClientConnectorError, "refused", "no connection", False),
    (aiohttp.ConnectionTimeoutError, "connect_timeout", "no connection in time", False),
    (TimeoutError, "timeout", "no answer in time", True),
    (aiohttp.ClientResponseError, "bad_answer", "the answer is not HTTP", True),
)


async def no_budget(_api: str, _call: str) -> None:
    """A ``before_call`` that lets every call pass."""


def no_record(_api: str, _call: str, _outcome: str, _seconds: float) -> None:
    """An ``after_call`` that records nothing."""


async def no_settling(_api: str, error: PipelineError | None) -> PipelineError | None:
    """A ``settle`` that learns nothing."""
    return error


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """What all clients share.

    Attributes:
        session: without cookies (``DummyCookieJar``); closed by whoever opened it.
        max_bytes: largest answer read, after decompression.
        before_call: awaited with (api, call) before each request; may raise `Throttled` or `CircuitOpen`.
        after_call: told (api, call, ``ok`` or error code or ``cancelled``, seconds) after each request
            that ``before_call`` let pass.
        settle: awaited with (api, error or None) at the end of each such request, unless it was cancelled;
            gives the error to raise. The fleet's pauses and circuit breakers learn here.
        clock: monotonic seconds.
        now: wall time, for a ``Retry-After`` date in an answer that has no ``Date``.
    """

    session: aiohttp.ClientSession
    max_bytes: int
    before_call: BeforeCall = no_budget
    after_call: AfterCall = no_record
    settle: Settle = no_settling
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call.

    Attributes:
        call: its name in errors, metrics and budgets, e.g. ``get_lead``.
        path: percent-encoded, below the base URL.
        body: sent as JSON, unless None.
        effect: the call must not happen twice (see the module's text).
        no_data: statuses that mean *nothing is known* and give None.
        codes: error codes of statuses that have one of their own.
    """

    call: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    effect: bool = False
    no_data: frozenset[int] = frozenset()
    codes: Mapping[int, str] = field(default_factory=dict)


class OutsideClient:
    """The base of the three clients; ``api`` names it in errors, budgets and metrics."""

    api: ClassVar[str]
    permanent_4xx: ClassVar[bool]

    def __init__(
        self, transport: Transport, base_url: str, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"the base URL of the {self.api} API must look like https://host")
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})

    async def send(self, request: Request) -> object:
        """Make one call and decode its answer.

        Returns:
            The decoded JSON; None for an empty answer and for a status in ``no_data``.

        Raises:
            Throttled: 429, or the shared budget says wait.
            Unauthorized: 401, 402 or 403.
            Permanent: another 4xx, where the API's 4xx are final.
            Ambiguous: only with ``effect``: it may or may not have happened.
            Malformed: the answer is not JSON, or too large (only without ``effect``).
            Retryable: anything else that went wrong.
        """
        transport = self._transport
        await transport.before_call(self.api, request.call)
        started = transport.clock()
        outcome = CANCELLED
        with traces.span(f"{self.api}.{request.call}") as calling:
            try:
                result = await self._attempt(request)
                outcome = result.code if isinstance(result, PipelineError) else OK
            finally:
                calling.set(outcome=outcome)
                self._tell(request.call, outcome, transport.clock() - started)
        error = await self._settle(result if isinstance(result, PipelineError) else None)
        if error is not None:
            raise error
        return result

    def _tell(self, call: str, outcome: str, seconds: float) -> None:
        # A hook that fails must not make a sent message look like one that was not sent.
        try:
            self._transport.after_call(self.api, call, outcome, seconds)
        except Exception:
            log.exception("after_call.failed", api=self.api, call=call)

    async def _settle(self, error: PipelineError | None) -> PipelineError | None:
        try:
            return await self._transport.settle(self.api, error)
        except Exception:
            log.exception("settle.failed", api=self.api)
            return error

    async def _attempt(self, request: Request) -> object:
        """The decoded answer, or the error to raise (returned, so that it carries no context)."""
        failure = Failure(self.api, request.call, effect=request.effect)
        try:
            async with self._open(request) as response:
                status = response.status
                error = status_failure(
                    failure,
                    status,
                    response.headers,
                    self._transport.now(),
                    codes=request.codes,
                    permanent_4xx=self.permanent_4xx,
                )
                if status in request.no_data:
                    return None
                if error:
                    return error
                body = await self._read(response)
        except (aiohttp.ClientError, OSError) as error:
            return _broken(failure, error)
        except Exception as error:
            # A fault of ours or of the library. Without an effect it surfaces as what it is; with one,
            # nobody may conclude that nothing was sent.
            if not request.effect:
                raise
            log.error("send.fault", api=self.api, call=request.call, error=type(error).__name__)  # noqa: TRY400
            return failure.unknown("fault", f"unexpected {type(error).__name__}")
        if body is None:
            return failure.malformed(
                "too_large", f"the answer has more than {self._transport.max_bytes} bytes"
            )
        return _decode(body, failure)

    def _open(self, request: Request) -> "aiohttp.client._RequestContextManager":
        headers = dict(self._headers)
        data = None
        if request.body is not None:
            data = orjson.dumps(request.body)
            headers["Content-Type"] = "application/json"
        return self._transport.session.request(
            request.method,
            self._base_url + request.path,
            params=request.params,
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=self._timeout_s / 2),
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The body, or None where it is larger than ``max_bytes``; the connection is then dropped."""
        limit = self._transport.max_bytes
        body = bytearray()
        if (response.content_length or 0) <= limit:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        response.close()
        return None


def _broken(failure: Failure, error: Exception) -> Retryable:
    for kinds, code, what, sent in _BREAKS:
        if isinstance(error, kinds):
            return failure.unknown(code, what) if sent else failure.not_sent(code, what)
    return failure.unknown("reset", "the connection broke")


def _decode(body: bytes, failure: Failure) -> object:
    if not body.strip():
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # The parser's own words can quote the answer, so they are not passed on.
        pass
    return failure.malformed("malformed", "the answer is not JSON")
