"""Limits that protect the others: per lead (FAULTS.md row 20), per source, in flight, connections."""

import asyncio
from contextlib import AsyncExitStack

import orjson
import pytest
from structlog.testing import capture_logs
from support_ingress import WEBHOOKS, Door, door_settings, entries, events_of, lead, open_door, signed

from ops.settings import load_settings
from schema.errors import SettingsError


def update(lead_id: str, n: int) -> bytes:
    return lead(lead_id, "on_update_lead", n=n)


async def test_one_lead_at_a_thousand_a_second(redis_url: str) -> None:
    """Row 20: above its rate a lead gets 429 with Retry-After; the others are taken all the while."""
    async with open_door(door_settings(redis_url, LEAD_RATE_LIMIT="20/hour")) as door:
        with capture_logs() as logs:
            storm = await asyncio.gather(*(door.post(update("loud", n)) for n in range(100)))
            others = await asyncio.gather(*(door.post(update(f"L{n}", n)) for n in range(50)))
    limited = [a for a in storm if a.status != 200]
    assert len(limited) == 80
    assert {(a.status, a.code) for a in limited} == {(429, "rate_limited")}
    assert all(1 <= int(a.headers["Retry-After"]) <= 180 for a in limited)
    assert events_of(logs).count("webhook.rate_limited") == 80
    assert {a.json["status"] for a in others} == {"accepted"}
    stored = [e["lead_id"] for e in entries(redis_url)]
    assert (stored.count("loud"), len(stored)) == (20, 70)


async def test_only_verified_webhooks_count(redis_url: str) -> None:
    """A stranger cannot use up a lead's rate."""
    async with open_door(door_settings(redis_url, LEAD_RATE_LIMIT="1/hour")) as door:
        for _ in range(5):
            assert (await door.post(lead(), signed(lead(), "another"))).status == 401
        assert (await door.post(lead())).status == 200
        assert (await door.post(lead())).status == 429


async def test_elements_over_the_limit_in_a_batch(redis_url: str) -> None:
    """The element over its lead's rate has a status of its own; the others are stored."""
    raw = b'[{"id":"A"},{"id":"A","n":1},{"id":"B"},{"id":"no good"}]'
    async with open_door(door_settings(redis_url, LEAD_RATE_LIMIT="1/hour")) as door:
        answer = await door.post(raw)
        again = await door.post(raw)
    events = answer.json["events"]
    assert [e["status"] for e in events] == ["accepted", "rate_limited", "accepted", "refused"]
    assert (events[1]["lead_id"], events[1]["code"]) == ("A", "rate_limited")
    assert 1 <= events[1]["retry_after"] <= 3600
    assert answer.json["rate_limited"] == 1
    assert [e["lead_id"] for e in entries(redis_url)] == ["A", "B"]
    # None of them can be taken now, and waiting helps some: the whole batch is told to wait.
    assert (again.status, again.code) == (429, "rate_limited")


@pytest.mark.parametrize("path", [WEBHOOKS, f"{WEBHOOKS}/guess", "/nowhere"])
async def test_sources_are_limited_by_setting(redis_url: str, path: str) -> None:
    """One source is held to its rate whatever it tries; probes and metrics are not; no address is logged."""
    async with open_door(door_settings(redis_url, SOURCE_RATE_LIMIT="3/hour")) as door:
        with capture_logs() as logs:
            statuses = [(await door.post(lead(), path=path)).status for _ in range(5)]
            health = await door.ask("GET", "/health")
    assert statuses[3:] == [429, 429]
    assert 429 not in statuses[:3]
    assert health.status == 200
    assert events_of(logs).count("source.rate_limited") == 2
    assert "127.0.0.1" not in repr(logs)


async def test_sources_behind_a_proxy(redis_url: str) -> None:
    """The proxy's header tells sources apart only where a setting names it; a whole IPv6 network is one."""

    async def statuses(door: Door, addresses: list[str]) -> list[int]:
        headers = [signed(lead()) | {"Fly-Client-IP": a} for a in addresses]
        return [(await door.post(lead(), h)).status for h in headers]

    rate = {"SOURCE_RATE_LIMIT": "1/hour"}
    async with open_door(door_settings(redis_url, **rate)) as door:
        assert await statuses(door, ["192.0.2.1", "192.0.2.2"]) == [200, 429]
    trusting = rate | {"SOURCE_HEADER": "Fly-Client-IP"}
    async with open_door(door_settings(redis_url, **trusting)) as door:
        assert await statuses(door, ["192.0.2.1", "192.0.2.2", "192.0.2.1"]) == [200, 200, 429]
        assert await statuses(door, ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]) == [200, 429, 200]
        # Of a list only the last is the proxy's own word.
        assert await statuses(door, ["203.0.113.9, 192.0.2.7", "203.0.113.8, 192.0.2.7"]) == [200, 429]


async def test_in_flight_appends_are_bounded(redis_url: str) -> None:
    """Beyond MAX_IN_FLIGHT_APPENDS: 503 `overloaded` with Retry-After; what is taken is stored."""
    async with open_door(door_settings(redis_url, MAX_IN_FLIGHT_APPENDS="2")) as door:
        with capture_logs() as logs:
            answers = await asyncio.gather(*(door.post(lead(f"L{n}")) for n in range(60)))
        afterwards = await door.post(lead("afterwards"))
        batch = await door.post(b"[" + b",".join(b'{"id":"B%d"}' % n for n in range(10)) + b"]")
    taken = [a for a in answers if a.status == 200]
    refused = [a for a in answers if a.status != 200]
    assert taken
    assert refused
    assert {(a.status, a.code, a.headers["Retry-After"]) for a in refused} == {(503, "overloaded", "1")}
    assert events_of(logs).count("webhook.overloaded") == len(refused)
    assert afterwards.json["status"] == "accepted"
    assert batch.json["accepted"] == 10  # what counts is what is there already
    assert len(entries(redis_url)) == len(taken) + 11


async def test_bodies_on_their_way_are_bounded(redis_url: str) -> None:
    """Beyond MAX_READING_BYTES: 503, the connection ends; bodies that come at once are taken."""
    begun = b"POST /api/v1/webhook/leads HTTP/1.1\r\nHost: door\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1000
    settings = door_settings(redis_url, MAX_READING_BYTES="2500", READ_TIMEOUT_SECS="20")
    async with open_door(settings) as door, AsyncExitStack() as stack:
        readers = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            stack.callback(writer.close)
            writer.write(begun)
            readers.append(reader)
        replies = [asyncio.create_task(r.read()) for r in readers]
        done, waiting = await asyncio.wait(replies, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = [d.result() for d in done]
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"overloaded"' in refused
        assert (await door.post(lead())).json["status"] == "accepted"
        assert not any(w.done() for w in waiting)
        for task in waiting:
            task.cancel()


async def _idle(door: Door, stack: AsyncExitStack, count: int) -> list[asyncio.StreamReader]:
    readers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        stack.callback(writer.close)
        readers.append(reader)
    return readers


async def test_idle_connections_give_way(redis_url: str) -> None:
    """At MAX_CONNECTIONS a newcomer takes the place of the oldest that says nothing."""
    async with open_door(door_settings(redis_url, MAX_CONNECTIONS="5")) as door, AsyncExitStack() as stack:
        with capture_logs() as logs:
            readers = await _idle(door, stack, 8)
            async with asyncio.timeout(10):
                assert [await r.read() for r in readers[:3]] == [b"", b"", b""]
            assert (await door.post(lead())).json["status"] == "accepted"
    assert events_of(logs).count("connections.full") >= 1


async def test_a_full_house_turns_newcomers_away(redis_url: str) -> None:
    """Where every connection is at work, one more gets a 503 problem at once."""
    async with open_door(door_settings(redis_url, MAX_CONNECTIONS="3")) as door, AsyncExitStack() as stack:
        begun = b"POST /api/v1/webhook/leads HTTP/1.1\r\nHost: door\r\nContent-Length: 9\r\n"
        begun += b"Expect: 100-continue\r\n\r\n"
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            stack.callback(writer.close)
            writer.write(begun)
            assert await reader.readuntil(b"\r\n\r\n")  # 100: at work from here on
        head, _, body = (await door.raw()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in head
        assert orjson.loads(body)["code"] == "overloaded"


async def test_a_connection_without_a_request_ends(redis_url: str) -> None:
    """KEEPALIVE_SECS bounds the wait for a first head, a slow head and the next request alike."""
    async with open_door(door_settings(redis_url, KEEPALIVE_SECS="0.2")) as door:
        assert await door.raw() == b""
        assert await door.raw(b"POST / HTTP/1.1\r\nHost:") == b""
        reply = await door.raw(b"GET /health HTTP/1.1\r\nHost: door\r\n\r\n")
        assert reply.endswith(b'{"status":"ok"}')


async def test_header_size_is_a_setting(redis_url: str) -> None:
    """A header longer than MAX_HEADER_BYTES is a 400; below it is taken."""
    async with open_door(door_settings(redis_url, MAX_HEADER_BYTES="2000")) as door:
        ok = await door.post(lead(), signed(lead()) | {"X-More": "a" * 1500})
        long = await door.post(lead(), signed(lead()) | {"X-More": "a" * 2500})
    assert ok.status == 200
    assert (long.status, long.code) == (400, "bad_request")


@pytest.mark.parametrize(
    ("name", "value"),
    [("LEAD_RATE_LIMIT", "many"), ("SOURCE_RATE_LIMIT", "0/second"), ("SOURCE_HEADER", "a b")],
)
def test_wrong_limits_name_themselves(name: str, value: str) -> None:
    """Row 42 for the new settings."""
    with pytest.raises(SettingsError, match=name):
        load_settings("ingress", {"ALLOW_UNSIGNED": "true", name: value})
