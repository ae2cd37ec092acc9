"""The express lane and the usual way on one connection: same answers, same order, same counts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
import redis
from structlog.testing import capture_logs
from support_ingress import WEBHOOKS, Door, door_settings, entries, events_of, lead, open_door, signed
from support_waiting import until


@pytest.fixture
async def door(redis_url: str) -> AsyncIterator[Door]:
    async with open_door(door_settings(redis_url)) as door:
        yield door


def post(raw: bytes, *lines: str, path: str = WEBHOOKS, signature: str | None = None) -> bytes:
    proof = signature if signature is not None else signed(raw)["X-C2S-Signature"]
    head = [f"POST {path} HTTP/1.1", "Host: door", f"X-C2S-Signature: {proof}"]
    return "\r\n".join([*head, *lines, f"Content-Length: {len(raw)}", "", ""]).encode() + raw


async def answers_of(port: int, requests: bytes, count: int) -> list[tuple[int, dict[str, str], Any]]:
    """Status, headers and content of so many answers on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(requests)
        async with asyncio.timeout(20):
            return [await answer_on(reader) for _ in range(count)]
    finally:
        writer.close()


async def answer_on(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["Content-Length"]))
    return int(first.split(" ")[1]), headers, orjson.loads(body)


async def counted(door: Door, line: str) -> float:
    async with door.client.get(f"http://127.0.0.1:{door.port}/metrics") as answer:
        text = await answer.text()
    return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)), 0.0)


async def test_a_long_pipeline_is_answered_in_order(door: Door, redis_url: str) -> None:
    """Webhooks of both lanes and refusals, all sent at once: each answer in its place."""
    sent, expected = b"", []
    for n in range(60):
        raw = lead(f"L{n}")
        match n % 5:
            case 0:
                sent += post(raw)
                expected.append((200, f"L{n}"))
            case 1:
                sent += post(raw, path=f"{WEBHOOKS}?action=on_close_lead")  # a query: the usual way
                expected.append((200, f"L{n}"))
            case 2:
                sent += post(raw, signature="0" * 64)
                expected.append((401, None))
            case 3:
                sent += b"GET /health HTTP/1.1\r\nHost: door\r\n\r\n"
                expected.append((200, None))
            case _:
                sent += post(b"[" + raw + b"]")
                expected.append((200, f"L{n}"))
    found = []
    for status, _, content in await answers_of(door.port, sent, len(expected)):
        first = content.get("events", [content])[0]
        found.append((status, first.get("lead_id")))
    assert found == expected
    stored = [e["lead_id"] for e in entries(redis_url)]
    assert stored == [lead_id for _, lead_id in expected if lead_id]


async def test_both_lanes_write_the_same_head(door: Door) -> None:
    """Nothing in an answer's head tells which way it went, but the time and the length."""
    usual = post(lead("usual"), path=f"{WEBHOOKS}?")
    [(_, one, _), (_, other, _)] = await answers_of(door.port, post(lead("express")) + usual, 2)
    assert one.keys() == other.keys()
    assert one["Content-Type"] == other["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("request_", "status", "code", "event"),
    [
        (post(lead(), signature="0" * 64), 401, "signature_invalid", "auth.rejected"),
        (post(lead(), signature="pony"), 401, "signature_malformed", "auth.rejected"),
        (post(b"[1"), 400, "json_invalid", "webhook.refused"),
        (post(b"{}"), 422, "lead_id_missing", "webhook.refused"),
        (post(b"[{}]"), 422, "batch_refused", "webhook.refused"),
        (post(b'{"lead_id": "a", "timestamp": 1}'), 401, "timestamp_expired", "auth.rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_refusal_is_told_and_counted_once(
    door: Door, request_: bytes, status: int, code: str, event: str
) -> None:
    """What the express lane turns away is answered the usual way, without being judged again."""
    with capture_logs() as logs:
        [(got, headers, content)] = await answers_of(door.port, request_, 1)
    assert (got, content["code"]) == (status, code)
    assert headers["Content-Type"] == "application/problem+json"
    assert [e for e in events_of(logs) if e == event][-1:] == [event]
    assert len([line for line in logs if line.get("code") == code]) == 1
    assert await counted(door, f'c2s_refusals_total{{code="{code}"}}') == 1


async def test_what_cannot_be_stored_is_told_once() -> None:
    """Row 22, through the express lane: 503 with Retry-After, counted once, and the connection serves on."""
    async with open_door(door_settings("redis://127.0.0.1:1/0")) as door:
        [(status, headers, content), (health, _, _)] = await answers_of(
            door.port, post(lead()) + b"GET /health HTTP/1.1\r\nHost: door\r\n\r\n", 2
        )
        assert (status, content["code"], headers["Retry-After"], health) == (503, "unavailable", "5", 200)
        assert await counted(door, 'c2s_webhooks_total{result="unavailable"}') == 1


@contextmanager
def redis_writes_nothing(redis_url: str) -> Iterator[Callable[[], Any]]:
    """Whoever writes to Redis waits until the yielded function is called."""
    with redis.Redis.from_url(redis_url) as client:
        client.client_pause(60_000, all=False)
        try:
            yield client.client_unpause
        finally:
            client.client_unpause()


async def test_a_client_that_leaves_while_its_webhook_is_stored(door: Door, redis_url: str) -> None:
    """The webhook is kept, nothing fails, and nothing is left of the connection."""
    with redis_writes_nothing(redis_url) as go_on, capture_logs() as logs:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(post(lead("leaving")))
        await writer.drain()
        await healthy(door)
        writer.close()
        await writer.wait_closed()
        await healthy(door)
        go_on()
        assert (await door.post(lead("staying"))).json["status"] == "accepted"
    assert events_of(logs) == ["webhook.accepted"] * 2
    assert {e["lead_id"] for e in entries(redis_url)} == {"leaving", "staying"}


async def test_the_keepalive_time_does_not_end_a_connection_at_work(redis_url: str) -> None:
    """While its webhook is stored it stays open; at rest, as long as any other."""
    async with open_door(door_settings(redis_url, KEEPALIVE_SECS="0.5")) as door:
        with redis_writes_nothing(redis_url) as go_on:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(post(lead("slow")))
            await writer.drain()
            idle, other = await asyncio.open_connection("127.0.0.1", door.port)
            async with asyncio.timeout(20):
                assert await idle.read() == b""  # its time is over, and so is that of the older one
                go_on()
                assert (await answer_on(reader))[2]["status"] == "accepted"
                assert await reader.read() == b""
            writer.close()
            other.close()


async def test_a_crowd_does_not_take_the_place_of_a_connection_at_work(redis_url: str) -> None:
    """It is not idle while its webhook is stored: the newcomer is turned away instead."""
    async with open_door(door_settings(redis_url, MAX_CONNECTIONS="1")) as door:
        with redis_writes_nothing(redis_url) as go_on:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(post(lead("slow")))
            await writer.drain()
            assert (await door.raw()).startswith(b"HTTP/1.1 503 ")
            go_on()
            async with asyncio.timeout(20):
                assert (await answer_on(reader))[2]["status"] == "accepted"
            writer.close()


async def test_a_webhook_in_the_lane_is_answered_before_the_end(redis_url: str) -> None:
    """Row 28: the door is closed while a webhook is stored; it is answered, and closing is not held up."""
    async with open_door(door_settings(redis_url, SHUTDOWN_DEADLINE_SECS="60")) as door:
        with redis_writes_nothing(redis_url) as go_on:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(post(lead("last")))
            await writer.drain()
            await healthy(door)
            closing = asyncio.ensure_future(door.close())
            await until(lambda: refuses(door.port))
            go_on()
            async with asyncio.timeout(30):
                status, _, content = await answer_on(reader)
                assert (status, content["lead_id"]) == (200, "last")
                assert await reader.read() == b""
                await closing
        writer.close()
    assert [e["lead_id"] for e in entries(redis_url)] == ["last"]


async def healthy(door: Door) -> None:
    """The door answered something that was sent after all that was sent before."""
    async with door.client.get(f"http://127.0.0.1:{door.port}/health") as answer:
        assert answer.status == 200


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False
