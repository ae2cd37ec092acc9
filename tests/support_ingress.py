"""A real door in the test's own loop: real sockets, real Redis, real Postgres."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import redis
import structlog
from support_openapi import documented

from ingress.app import running
from ops.settings import Settings, load_settings

SECRET = "door-secret"
PREVIOUS = "door-secret-before"
TOKEN = "token-in-the-url"
PREVIOUS_TOKEN = "token-before"
WEBHOOKS = "/api/v1/webhook/leads"
STREAM = "c2s:{0}:webhooks"
OUTCOMES = "c2s:{0}:outcomes"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"  # port 1: refused at once


def door_settings(redis_url: str, database_url: str = NOWHERE, **more: str) -> Settings:
    """Settings of a door on a free loopback port."""
    values = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "INSTANCE": "door",
        "C2S_WEBHOOK_SECRET": SECRET,
        "C2S_WEBHOOK_SECRET_PREVIOUS": PREVIOUS,
        "C2S_WEBHOOK_TOKEN": TOKEN,
        "C2S_WEBHOOK_TOKEN_PREVIOUS": PREVIOUS_TOKEN,
        "TRIGGER_API_KEY": "trigger-key",
    }
    return load_settings("ingress", values | more)


def signed(raw: bytes, secret: str = SECRET) -> dict[str, str]:
    """The seed's header, made without our code."""
    return {"X-C2S-Signature": hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()}


def lead(lead_id: str = "L1", action: str = "on_create_lead", **more: Any) -> bytes:
    """A body of the seed's shape."""
    return orjson.dumps({"lead_id": lead_id, "action": action} | more)


@dataclass
class Answer:
    status: int
    json: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return str(self.json["code"])


@dataclass
class Door:
    """A running door and a client of it."""

    port: int
    client: aiohttp.ClientSession
    close: Callable[[], Awaitable[None]]

    async def post(self, raw: bytes, headers: dict[str, str] | None = None, path: str = WEBHOOKS) -> Answer:
        """Post a body, signed unless headers are given."""
        return await self.ask("POST", path, data=raw, headers=signed(raw) if headers is None else headers)

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        async with self.client.request(method, f"http://127.0.0.1:{self.port}{path}", **how) as response:
            content = orjson.loads(await response.read())
            documented(method, path, response.status, content, response.headers["Content-Type"])
            return Answer(response.status, content, dict(response.headers))

    async def raw(self, *parts: bytes) -> bytes:
        """Write bytes to a socket of its own; all that comes until the door closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(20):
                while part := await reader.read(65536):
                    received += part
        except ConnectionError:
            return received  # the door closed with bytes of ours unread
        else:
            return received
        finally:
            writer.close()


@asynccontextmanager
async def open_door(settings: Settings, now: datetime | None = None) -> AsyncIterator[Door]:
    """A door that closes at the end; ``now`` stops its clock."""
    clock = (lambda: now) if now else (lambda: datetime.now(UTC))
    async with AsyncExitStack() as server, aiohttp.ClientSession() as client:
        port = await server.enter_async_context(running(settings, clock))
        yield Door(port, client, server.aclose)


def entries(redis_url: str, stream: str = STREAM) -> list[dict[str, str]]:
    """A stream's entries as text."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        rows: Any = client.xrange(stream)
    return [fields for _, fields in rows]


def events_of(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of what was logged about requests (not about the spool, which probes in the background)."""
    return [line["event"] for line in logs if not line["event"].startswith("spool.")]


@contextmanager
def heard(event: str) -> Iterator[asyncio.Event]:
    """An event that is set once a log line of that name is written."""
    seen = asyncio.Event()

    def listen(_logger: Any, _method: str, line: Any) -> Any:
        if line["event"] == event:
            seen.set()
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[listen])
    try:
        yield seen
    finally:
        structlog.configure(processors=before)
