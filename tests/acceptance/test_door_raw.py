"""What the internet can do to a real door process, while C2S goes on being served."""

import asyncio
import gzip
import resource
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support_ingress import WEBHOOKS, entries, lead, signed
from support_process import DoorProcess, door_process

MOST_MB = 120
IDLE = 1000
Attack = Callable[[DoorProcess], Awaitable[None]]


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """As many open sockets as the machine allows; processes started here inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def head(*lines: str, first: str = f"POST {WEBHOOKS} HTTP/1.1", host: str = "Host: door") -> bytes:
    return "\r\n".join([first, host, *lines, "", ""]).encode()


def refused(reply: bytes, *statuses: int) -> None:
    """The one answer is a problem document with one of these statuses, and echoes nothing."""
    top, _, body = reply.partition(b"\r\n\r\n")
    assert int(top.split(b" ")[1]) in statuses, reply
    assert b"application/problem+json" in top
    assert b"evil" not in reply
    assert b"HTTP/1.1" not in body


async def slow_heads(door: DoorProcess) -> None:
    """Heads that come a byte at a time, and stop: each connection ends after KEEPALIVE_SECS."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        for byte in b"POST / HTTP/1.1\r\nHost: evil\r\nX-Sl":
            writer.write(bytes([byte]))
            await writer.drain()
        assert await reader.read() == b""
        writer.close()

    await asyncio.gather(*(one() for _ in range(100)))


async def slow_bodies(door: DoorProcess) -> None:
    """Bodies of which half comes: 408 after READ_TIMEOUT_SECS."""
    begun = head("Content-Length: 1000") + b'{"evil": "' + b"a" * 400
    for reply in await asyncio.gather(*(door.raw(begun) for _ in range(100))):
        refused(reply, 408)


async def endless_bodies(door: DoorProcess) -> None:
    """10 GB announced, or sent in chunks without saying so: 413, and nothing more is read."""
    for length in (10 * 2**30, 2**62):
        refused(await door.raw(head(f"Content-Length: {length}"), *[b"evil" * 16384] * 64), 413)
    chunk = b"10000\r\n" + b"evil" * 16384 + b"\r\n"
    refused(await door.raw(head("Transfer-Encoding: chunked"), *[chunk] * 64), 413)
    for reply in await asyncio.gather(*(door.raw(head("Content-Length: 300000")) for _ in range(50))):
        refused(reply, 413)


async def pipelined_garbage(door: DoorProcess) -> None:
    """Garbage after good requests: 400 and the end. (In one packet with it they share its fate.)"""
    good = head(first="GET /health HTTP/1.1")
    reply = await door.raw(good * 3 + b"\x00\xffevil \r\n\r\n" * 100)
    assert reply.count(b'{"status":"ok"}') in (0, 3)
    refused(reply[reply.rindex(b"HTTP/1.") :], 400)
    for garbage in (
        b"\x16\x03\x01\x02evil" * 50,
        b"evil\r\n\r\n",
        b"\x00" * 100_000,
        b"PRI * HTTP/2.0\r\n\r\nSM",
    ):
        reply = await door.raw(garbage + b"\r\n\r\n")
        if reply:
            refused(reply, 400, 404, 405)


async def smuggled(door: DoorProcess) -> None:
    """Two ideas of where a request ends, or of whom it is for: 400, and what was smuggled is not read."""
    inner = head("Content-Length: 0", first="GET /health HTTP/1.1", host="Host: evil")
    both = ("Content-Length: 4", "Transfer-Encoding: chunked")
    for lines in (
        both,
        both[::-1],
        ("Content-Length: 4", "Content-Length: 5"),
        ("Transfer-Encoding: chunked, evil",),
    ):
        reply = await door.raw(head(*lines) + b"0\r\n\r\n" + inner)
        refused(reply, 400)
    refused(await door.raw(head("Host: evil", "Content-Length: 0")), 400)


async def bombs(door: DoorProcess) -> None:
    """A gzip bomb is 415 unread, however it is named; so is a chunked one."""
    bomb = gzip.compress(bytes(100_000_000))
    for encoding in ("gzip", "x-gzip", "deflate, gzip"):
        length = f"Content-Length: {len(bomb)}"
        refused(await door.raw(head(f"Content-Encoding: {encoding}", length) + bomb), 415)
    nested = b"[" * 200_000
    refused(await door.raw(head(f"Content-Length: {len(nested)}", "X-C2S-Signature: evil") + nested), 401)


async def header_floods(door: DoorProcess) -> None:
    """Too many headers, or too long ones: 400."""
    flood = [f"X-Evil-{n}: evil" for n in range(20_000)]
    long = ["X-Evil: " + "evil" * 250_000]
    for lines in (flood, long):
        refused(await door.raw(head(*lines)), 400, 431)
    refused(await door.raw(head(first=f"GET /{'evil' * 100_000} HTTP/1.1")), 400, 414)


async def tiny_chunks(door: DoorProcess) -> None:
    """A body in 100,000 chunks of a byte is one request like another: read, then refused."""
    body = b"1\r\ne\r\n" * 100_000 + b"0\r\n\r\n"
    refused(await door.raw(head("Transfer-Encoding: chunked", "Connection: close") + body), 401, 408)


async def idle_crowd(door: DoorProcess) -> None:
    """A thousand connections that say nothing, held while others come and go."""
    crowd = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", door.port) for _ in range(IDLE)))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
        for n in range(20):
            raw = lead(f"beside-the-crowd-{n}")
            async with client.post(door.url + WEBHOOKS, data=raw, headers=signed(raw)) as answer:
                assert answer.status == 200
    for _, writer in crowd:
        writer.close()


ATTACKS: tuple[Attack, ...] = (
    slow_heads, slow_bodies, endless_bodies, pipelined_garbage, smuggled, bombs, header_floods, tiny_chunks,
    idle_crowd,
)  # fmt: skip


@asynccontextmanager
async def c2s_goes_on(door: DoorProcess) -> AsyncIterator[Counter[str]]:
    """Normal webhooks, one after another, each on a connection of its own; yields what was answered."""
    answers: Counter[str] = Counter()
    stopping = asyncio.Event()

    async def go_on() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
            while not stopping.is_set():
                raw = lead(f"normal-{answers.total()}")
                async with client.post(door.url + WEBHOOKS, data=raw, headers=signed(raw)) as answer:
                    answers[str((await answer.json())["status"])] += 1

    normal = asyncio.create_task(go_on())
    try:
        yield answers
    finally:
        stopping.set()
        await normal


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_an_attack_by_itself(attack: Attack, redis_url: str, tmp_path: Path) -> None:
    """Rows 10-13: each attack gets its answer while normal webhooks are accepted; memory was never large."""
    limits = {"READ_TIMEOUT_SECS": "0.5", "KEEPALIVE_SECS": "3"}
    async with door_process(tmp_path / "door.log", redis_url, **limits) as door:
        async with c2s_goes_on(door) as answers:
            await attack(door)
        assert set(answers) == {"accepted"}
        assert door.most_rss_mb() < MOST_MB
        assert "request.failed" not in door.events()


async def test_all_at_once(redis_url: str, tmp_path: Path) -> None:
    """Every attack at the same time, twice: C2S is served all the while, and memory never passed 120 MB."""
    limits = {"READ_TIMEOUT_SECS": "0.5", "KEEPALIVE_SECS": "3"}
    async with door_process(tmp_path / "door.log", redis_url, **limits) as door:
        async with c2s_goes_on(door) as answers:
            for _ in range(2):
                await asyncio.gather(*(attack(door) for attack in ATTACKS if attack is not idle_crowd))
                await idle_crowd(door)
        most_mb = door.most_rss_mb()
        assert set(answers) == {"accepted"}
        stored = {e["lead_id"] for e in entries(redis_url)}
        assert {f"normal-{n}" for n in range(answers.total())} <= stored
        assert "request.failed" not in door.events()
    assert most_mb < MOST_MB


async def test_of_100_identical_posts_to_two_doors_one_is_accepted(redis_url: str, tmp_path: Path) -> None:
    """Row 2: one `accepted`, 99 `duplicate`, all with the same event id, and one entry."""
    raw = lead("once")
    async with (
        door_process(tmp_path / "one.log", redis_url) as one,
        door_process(tmp_path / "two.log", redis_url) as two,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
    ):

        async def post(url: str) -> tuple[str, str]:
            async with client.post(url + WEBHOOKS, data=raw, headers=signed(raw)) as answer:
                content = await answer.json()
                return content["status"], content["event_id"]

        answers = await asyncio.gather(*(post((one, two)[n % 2].url) for n in range(100)))
    assert Counter(status for status, _ in answers) == {"accepted": 1, "duplicate": 99}
    assert len({event_id for _, event_id in answers}) == 1
    assert [e["lead_id"] for e in entries(redis_url)] == ["once"]
