"""The express lane: a webhook that came whole to the signed address is answered without a task of its own.

aiohttp makes a task, a request, a writer and a response for each request: a third of a webhook's time. Here
its parser's message goes straight to the door (`begin`), and the answer is written when the storage calls
back (`end`). Only the plainest case: HTTP/1.1, kept alive, the exact path, the body there with its head,
none of the headers that ask for more. Everything else, and every refusal, goes the usual way; a refusal
with its verdict, so that nothing is judged or counted twice.

How it stands beside aiohttp's own loop (`RequestHandler.start`): that loop sleeps on ``_waiter`` while a
connection is idle. While a webhook is in the express lane the waiter is held back: so the loop stays asleep,
whatever comes next waits in ``_messages`` (in order, bounded by the parser), and nobody takes the connection
for idle. The message itself stays first in ``_messages`` until it is answered; to hand it over, the waiter is
put back and woken.
"""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from aiohttp import HttpVersion11, web
from aiohttp.hdrs import CONTENT_ENCODING, EXPECT
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, RawRequestMessage
from aiohttp.streams import StreamReader

from ingress.server import QuietHandler, QuietServer
from ingress.webhook import Taking


class Takes(Protocol):
    """The door's two halves around the wait for the storage."""

    def begin(self, headers: Mapping[str, str], raw: bytes) -> Taking: ...
    def end(self, taking: Taking) -> bytes: ...


class Lane(NamedTuple):
    """What takes the express lane, and where to.

    Attributes:
        most_bytes: of a body.
    """

    door: Takes
    path: str
    most_bytes: int


class ExpressHandler(QuietHandler):
    """A connection with an express lane."""

    __slots__ = ("_held", "_lane", "_verdict")

    def __init__(self, lane: Lane, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._lane = lane
        self._held: asyncio.Future[None] | None = None
        self._verdict: BaseException | None = None

    def data_received(self, data: bytes) -> None:
        """Parse as aiohttp does, before its loop is woken."""
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        if waiter is None:
            return  # the loop, or the express lane, is at work
        self._waiter = waiter
        if self._messages and not waiter.done():
            self._next(waiter)

    def force_close(self) -> None:
        """End the loop also while it is held back."""
        super().force_close()
        if self._held is not None:
            self._held.cancel()

    def verdict(self) -> BaseException | None:
        """Why the request that is handled now was turned away from the express lane; told once."""
        found, self._verdict = self._verdict, None
        return found

    def _next(self, waiter: asyncio.Future[None]) -> None:
        message, payload = self._messages[0]
        if not isinstance(message, RawRequestMessage) or not self._plain(message, payload):
            waiter.set_result(None)
            return
        self._waiter, self._held = None, waiter
        self._request_in_progress = True
        try:
            taking = self._lane.door.begin(message.headers, payload.read_nowait())
        except Exception as error:  # noqa: BLE001 -- raised again where all errors are answered
            self._hand_over(error)
            return
        if taking.kept is None:
            self._end(taking)
        else:
            taking.kept.add_done_callback(lambda _: self._end(taking))

    def _plain(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        return (
            message.path == self._lane.path
            and message.method == "POST"
            and message.version == HttpVersion11
            and not message.should_close
            and not message.upgrade
            and payload.is_eof()
            and 0 < payload.total_bytes <= self._lane.most_bytes
            and CONTENT_ENCODING not in message.headers
            and EXPECT not in message.headers
            and not self._paused  # a client that reads no answers: aiohttp's loop waits for it
        )

    def _end(self, taking: Taking) -> None:
        try:
            body = self._lane.door.end(taking)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- as above
            self._hand_over(error)
            return
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._manager is not None:
            self._manager.requests_count += 1
        if self.transport is not None:
            self.transport.write(b"%b%d\r\n\r\n%b" % (_head(rfc822_formatted_time()), len(body), body))
        waiter = self._released()
        if self._force_close or self._close:
            waiter.cancel()
            return
        self._rest()
        self._waiter = waiter
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        if self._messages and not waiter.done():
            self._loop.call_soon(self._go_on)

    def _hand_over(self, error: BaseException) -> None:
        """Let aiohttp's loop answer the request, with what was found."""
        self._verdict = error
        waiter = self._released()
        if waiter.done():
            return
        self._waiter = waiter
        waiter.set_result(None)

    def _released(self) -> asyncio.Future[None]:
        waiter, self._held = self._held, None
        assert waiter is not None  # noqa: S101 -- narrows for the type checker
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        return waiter

    def _go_on(self) -> None:
        """With what was sent before the last answer; a turn later, so that a long row starves nobody."""
        if self._waiter is not None and self._messages and not self._waiter.done():
            self._next(self._waiter)

    def _rest(self) -> None:
        """Until the next request, for as long as a connection may be kept."""
        self._next_keepalive_close_time = close_at = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_at, self._process_keepalive)


class ExpressServer(QuietServer):
    """Makes `ExpressHandler`s."""

    def __init__(self, lane: Lane, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane = lane

    def __call__(self) -> QuietHandler:
        return ExpressHandler(self._lane, self, loop=self._loop, **self._kwargs)


def verdict_on(request: web.Request) -> BaseException | None:
    """What the express lane found wrong with a request, before it was handed over; told once."""
    return request.protocol.verdict() if isinstance(request.protocol, ExpressHandler) else None


@lru_cache(maxsize=1)
def _head(date: str) -> bytes:
    """All of an answer's head but its length, as aiohttp writes it."""
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {date}\r\n"
        f"Server: {SERVER_SOFTWARE}\r\nContent-Length: "
    ).encode()
