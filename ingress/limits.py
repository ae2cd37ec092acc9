"""Reading a body within its bounds: size, encoding and time, each checked before the next byte is read."""

import asyncio

from aiohttp import HttpVersion11, web
from aiohttp.hdrs import CONTENT_ENCODING
from aiohttp.web_protocol import RequestPayloadError

from ingress.problems import Refusal


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


async def read_body(request: web.Request, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        Refusal: as `check_head`; 408 ``body_timeout`` where it does not come in time.
    """
    check_head(request, max_bytes)
    try:
        if request.content.is_eof():  # all of it came with the headers, as almost always
            return await request.read()
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        detail = f"The body did not come within {timeout_s:g} seconds."
        raise Refusal(408, "body_timeout", detail, close=True) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(max_bytes) from None
    except RequestPayloadError:
        raise Refusal(400, "body_unreadable", "The body's framing is broken.", close=True) from None


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
