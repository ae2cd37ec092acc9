"""A whole fleet for the scenarios that need one: door, processors, projector, a sandbox without limits."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg

from bench.http_load import post
from bench.rig import BESIDE, SECRET, answers, body, postgres_server, python, redis_server
from ops.dev.ports import free_port
from ops.migrate import migrate
from ops.sign import sign
from schema.identity import CREATE

PATH = "/api/v1/webhook/leads"
_APIS = ("C2S", "DIRETRIX", "WORK_API")


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running fleet.

    Attributes:
        port: of the door.
        conn: a connection of the bench's own.
        processes: ours, by name.
        servers: process ids of what they talk to, by name.
    """

    port: int
    redis_url: str
    sandbox_url: str
    conn: asyncpg.Connection
    processes: dict[str, subprocess.Popen[bytes]]
    servers: dict[str, int]

    async def good_ends(self) -> int:
        """Events whose good end is on record."""
        found: int = await self.conn.fetchval("SELECT count(*) FROM webhook_events WHERE status = 'success'")
        return found

    async def outside_calls(self) -> dict[str, int]:
        """Calls that the sandbox has answered so far, by API and name."""
        url = f"{self.sandbox_url}/_sandbox/state"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            calls: dict[str, int] = (await answer.json())["calls"]
        return calls

    async def ended(self, count: int, within_s: float) -> float:
        """Until so many events have their good end on record; seconds that it took."""
        begun = time.monotonic()
        while await self.good_ends() < count:
            if time.monotonic() - begun > within_s:
                raise TimeoutError(f"fewer than {count} events ended")
            await asyncio.sleep(0.1)
        return time.monotonic() - begun


@asynccontextmanager
async def fleet(folder: Path, processors: int, **more: str) -> AsyncIterator[Fleet]:
    """Start everything; one webhook has come through to its row when the block begins.

    Postgres keeps the time of each commit.
    """
    door, outside = free_port(), free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder))
        database = stack.enter_context(postgres_server(folder, track_commit_timestamp="on"))
        await migrate(database.url)
        limits = {f"{api}_RATE_LIMIT": "0" for api in _APIS}
        words = ("-m", "ops.sandbox", "--port", str(outside))
        sandbox = stack.enter_context(python(*words, core=1, **limits))
        answers(outside)
        env = {
            "REDIS_URL": redis.url,
            "DATABASE_URL": database.url,
            "C2S_WEBHOOK_SECRET": SECRET,
            "HOST": "127.0.0.1",
            "PORT": str(door),
            "LOG_FORMAT": "json",
            **limits,
            **{f"{api}_BASE_URL": f"http://127.0.0.1:{outside}" for api in _APIS},
            **dict.fromkeys(("C2S_TOKEN", "DIRETRIX_USER", "DIRETRIX_PASS", "WORK_API_KEY"), "sandbox"),
            **more,
        }
        modules = {"ingress": ("ingress", BESIDE), "projector": ("projections", BESIDE)}
        modules |= {f"processor-{n + 1}": ("processor", 0) for n in range(processors)}
        processes = {
            name: stack.enter_context(python("-m", module, core=core, INSTANCE=name, **env))
            for name, (module, core) in modules.items()
        }
        answers(door)
        conn = await asyncpg.connect(database.url)
        try:
            servers = {"Redis": redis.pid, "Postgres": database.pid, "sandbox": sandbox.pid}
            url = f"http://127.0.0.1:{outside}"
            made = Fleet(door, redis.url, url, conn, processes, servers)
            await send(door, [request("warm")])
            await made.ended(1, 60)
            yield made
        finally:
            await conn.close()


def request(lead: str, action: str = CREATE, size: int = 200) -> bytes:
    """A signed webhook of so many bytes, without the customer."""
    raw = body(lead, size, action)
    return post(PATH, raw, **{"X-C2S-Signature": sign(SECRET, raw)})


async def send(port: int, requests: Sequence[bytes], per_second: float = 0.0) -> None:
    """Send over one connection each after the other; at fixed times where a rate is given.

    Raises:
        RuntimeError: an answer other than 200.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    try:
        for number, one in enumerate(requests):
            if per_second and (left := begun + number / per_second - time.monotonic()) > 0:
                await asyncio.sleep(left)
            writer.write(one)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.split(b"\r\n", 1)[0].decode())
            await reader.readexactly(_length(head))
    finally:
        writer.close()


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    return int(lower[at : lower.index(b"\r\n", at)])
