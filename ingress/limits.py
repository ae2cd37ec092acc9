"""Reading a body within its bounds: size, encoding and time, each checked before the next byte is read."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import HttpVersion11, web
from aiohttp.hdrs import CONTENT_ENCODING
from aiohttp.web_protocol import RequestPayloadError

from ingress.problems import Refusal, overloaded


def _too_large(most: int) -> Refusal:
    return Refusal(413, "body_too_large", f"The body is larger than {most} bytes.", close=True)


def check_head(request: web.Request, max_bytes: int) -> None:
    """Refuse by the headers alone.

    Raises:
        Refusal: 413 ``body_too_large`` or 415 ``encoding_unsupported``.
    """
    if CONTENT_ENCODING in request.headers:
        raise Refusal(415, "encoding_unsupported", "Send the body without a Content-Encoding.", close=True)
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)


@dataclass(slots=True)
class Reading:
    """Reads bodies, each within its bounds and all together within theirs.

    A body that came with its headers, as almost always, is never refused for the others' sake: only those
    still on their way count, for they wait in memory that anybody, without any secret, could otherwise fill.

    Attributes:
        most_bytes: of one body.
        timeout_s: for one body.
        most_bytes_waiting: of all bodies that have not come whole.
    """

    most_bytes: int
    timeout_s: float
    most_bytes_waiting: int
    waiting_bytes: int = field(init=False, default=0)

    async def body(self, request: web.Request) -> bytes:
        """The whole body.

        Raises:
            Refusal: as `check_head`; 408 ``body_timeout`` where it does not come in time; 503 ``overloaded``
                where too much of others' bodies waits already; 400 ``body_unreadable``.
        """
        check_head(request, self.most_bytes)
        try:
            if request.content.is_eof():
                return self._at_once(request)
            async with asyncio.timeout(self.timeout_s):
                return await self._slowly(request)
        except TimeoutError:
            detail = f"The body did not come within {self.timeout_s:g} seconds."
            raise Refusal(408, "body_timeout", detail, close=True) from None
        except RequestPayloadError:
            raise Refusal(400, "body_unreadable", "The body's framing is broken.", close=True) from None

    def _at_once(self, request: web.Request) -> bytes:
        body = request.content.read_nowait()
        if len(body) > self.most_bytes:
            raise _too_large(self.most_bytes)
        return body

    async def _slowly(self, request: web.Request) -> bytes:
        body = bytearray()
        try:
            while part := await request.content.readany():
                body += part
                self.waiting_bytes += len(part)
                if len(body) > self.most_bytes:
                    raise _too_large(self.most_bytes)
                if self.waiting_bytes > self.most_bytes_waiting:
                    raise overloaded("Too many bodies are on their way at once; send it again.", close=True)
        finally:
            self.waiting_bytes -= len(body)
        return bytes(body)


async def expect_continue(request: web.Request, max_bytes: int) -> None:
    """Answer ``Expect: 100-continue``: invite the body only where the headers do not refuse it already.

    Raises:
        Refusal: as `check_head`; 417 for any other expectation.
    """
    check_head(request, max_bytes)
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise Refusal(417, "expectation_failed", "Only 100-continue can be expected here.", close=True)
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written is not yet the answer.
        request.writer.output_size = 0
