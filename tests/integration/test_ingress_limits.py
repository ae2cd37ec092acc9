"""What strangers can send, over raw sockets: FAULTS.md rows 5 and 10-13."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from support_ingress import WEBHOOKS, Door, door_settings, entries, events_of, lead, open_door, signed

MOST = 4096


@pytest.fixture
async def door(redis_url: str) -> AsyncIterator[Door]:
    settings = door_settings(redis_url, MAX_BODY_BYTES=str(MOST), READ_TIMEOUT_SECS="0.3")
    async with open_door(settings) as door:
        yield door
        # Whatever a stranger did, the next webhook is taken.
        assert (await door.post(lead("afterwards"))).json["status"] == "accepted"


def head(*lines: str, path: str = WEBHOOKS, host: str = "Host: door") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", host, *lines, "", ""]).encode()


def parts(reply: bytes) -> tuple[int, str, bytes]:
    """Status, lower-case head and body of the one answer."""
    top, _, body = reply.partition(b"\r\n\r\n")
    return int(top.split(b" ")[1]), top.decode().lower(), body


def refused(reply: bytes, status: int, code: str) -> None:
    got, top, body = parts(reply)
    assert (got, f'"code":"{code}"'.encode() in body) == (status, True), reply
    assert "content-type: application/problem+json" in top
    assert b"HTTP/1.1" not in body


@pytest.mark.parametrize("length", [MOST + 1, 10 * 2**30, 10**30])
async def test_too_large_by_its_head(door: Door, redis_url: str, length: int) -> None:
    """Row 10: 413 before anything is read; the connection ends."""
    with capture_logs() as logs:
        reply = await door.raw(head(f"Content-Length: {length}"))
    status, _, _ = parts(reply)
    if length < 2**63:
        refused(reply, 413, "body_too_large")
        assert events_of(logs) == ["webhook.refused"]
    else:
        assert status in (400, 413)  # the parser may not even take such a number
    assert entries(redis_url) == []


async def test_too_large_without_saying_so(door: Door) -> None:
    """Row 10: a chunked body is refused at the byte that is too many."""
    chunk = b"800\r\n" + b"x" * 2048 + b"\r\n"
    refused(await door.raw(head("Transfer-Encoding: chunked"), chunk * 3), 413, "body_too_large")


async def test_largest_body_is_taken(door: Door) -> None:
    """A body of exactly the limit."""
    raw = lead(pad="")
    raw = lead(pad="x" * (MOST - len(raw)))
    assert len(raw) == MOST
    assert (await door.post(raw)).json["status"] == "accepted"


async def test_expectations(door: Door) -> None:
    """`Expect: 100-continue` invites a body only where the head does not refuse it."""
    large = await door.raw(head(f"Content-Length: {MOST + 1}", "Expect: 100-continue"))
    refused(large, 413, "body_too_large")
    refused(await door.raw(head("Content-Length: 5", "Expect: a-pony")), 417, "expectation_failed")
    raw = lead("patient")
    signature = signed(raw)["X-C2S-Signature"]
    lines = (f"Content-Length: {len(raw)}", "Expect: 100-continue", f"X-C2S-Signature: {signature}")
    reply = await door.raw(head(*lines, "Connection: close"), raw)
    first, _, rest = reply.partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 100 Continue"
    assert parts(rest)[0] == 200


@pytest.mark.parametrize("path", ["/nowhere", "/health", f"{WEBHOOKS}/a/b"])
async def test_expectations_elsewhere(door: Door, path: str) -> None:
    """Row 13: an expectation of an address that takes none is not echoed either."""
    reply = await door.raw(head("Content-Length: 4", "Expect: evil", path=path))
    refused(reply, 417, "expectation_failed")
    assert b"evil" not in reply


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity", "nonsense"])
async def test_encodings(door: Door, encoding: str) -> None:
    """Row 11: 415 for any Content-Encoding, unread; a gzip bomb stays packed."""
    bomb = gzip.compress(bytes(3_000_000))
    assert len(bomb) < MOST
    answer = await door.post(bomb, signed(bomb) | {"Content-Encoding": encoding})
    assert (answer.status, answer.code) == (415, "encoding_unsupported")


async def test_dripped_body(door: Door) -> None:
    """Row 12: 408 once the read timeout is over, and the connection ends."""
    with capture_logs() as logs:
        refused(await door.raw(head("Content-Length: 100"), b"{"), 408, "body_timeout")
    assert events_of(logs) == ["webhook.refused"]


@pytest.mark.parametrize(
    "garbage",
    [
        head("Content-Length: 2", "Transfer-Encoding: chunked") + b"{}",
        head("Content-Length: 2", "Content-Length: 3") + b"{}",
        head("Host: echo-me", "Content-Length: 0"),
        head("echo-me") + b"{}",
        b"echo-me\r\n\r\n",
        b"\x16\x03\x01echo-me\r\n\r\n",
        head("X: " + "echo-me" * 3000),
        head(*(f"X-{n}: echo-me" for n in range(500))),
        head("X-C2S-Signature: " + "a" * 20_000),
        head("Transfer-Encoding: chunked") + b"echo-me\r\n",
        head("Content-Length: -1"),
    ],
    ids=lambda g: ascii(g[:60]),
)
async def test_broken_http(door: Door, redis_url: str, garbage: bytes) -> None:
    """Rows 5 and 13: 400 that echoes nothing, and the connection ends."""
    reply = await door.raw(garbage)
    assert parts(reply)[0] == 400
    assert b"echo-me" not in reply
    assert b"application/problem+json" in reply
    assert entries(redis_url) == []


async def test_huge_signature_header(door: Door, redis_url: str) -> None:
    """Row 5: a megabyte of header is not even read to its end."""
    reply = await door.raw(head("X-C2S-Signature: " + "a" * 1_000_000))
    # The 400 may be lost on the way: what the door left unread resets the connection.
    assert reply == b"" or parts(reply)[0] == 400
    assert entries(redis_url) == []


async def test_a_client_that_leaves_is_no_error(door: Door, redis_url: str) -> None:
    """Half a body and a closed connection leave nothing, and no error in the log."""
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(head("Content-Length: 100") + b"{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await door.post(lead("meanwhile"))
    assert events_of(logs) == ["webhook.accepted"]
    assert [e["lead_id"] for e in entries(redis_url)] == ["meanwhile"]


async def test_idle_connections_do_not_stand_in_the_way(door: Door) -> None:
    """Many connections that say nothing, or half a head, and a webhook is taken all the same."""
    opened = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(200)]
    for _, writer in opened[::2]:
        writer.write(b"POST / HTTP/1.1\r\nHost:")
    assert (await door.post(lead("through"))).json["status"] == "accepted"
    for _, writer in opened:
        writer.close()
