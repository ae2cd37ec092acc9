"""Door, processor and projector in the test's own loop, against whatever Redis there is, with the sandbox."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
from aiohttp.test_utils import TestServer
from support_ingress import Door, open_door
from support_waiting import until

from ops.dev.postgres_server import EmbeddedPostgres
from ops.migrate import migrate
from ops.redis import Client, command_client
from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig
from ops.settings import Settings, load_settings
from processor.service import serve as process
from projections.service import serve as project


@dataclass
class System:
    """All of it in this loop."""

    settings: Settings
    door: Door
    sandbox: TestServer
    http: aiohttp.ClientSession
    redis: Client
    record: asyncpg.Connection

    async def state(self) -> dict[str, Any]:
        async with self.http.get(self.sandbox.make_url("/_sandbox/state")) as answer:
            return await answer.json()

    async def fault(self, **spec: object) -> None:
        async with self.http.post(self.sandbox.make_url("/_sandbox/faults"), json=spec) as answer:
            assert answer.status == 200, await answer.text()

    async def ended(self, status: str, count: int) -> None:
        query = "SELECT count(*) FROM webhook_events WHERE status = $1"
        await until(lambda: self.record.fetchval(query, status), lambda found: found == count, 60)


async def sandboxed(
    stack: AsyncExitStack, redis_url: str, database_url: str
) -> tuple[TestServer, dict[str, str]]:
    """A sandbox without limits that ends with the stack, and what services need to know."""
    config = SandboxConfig(
        c2s_token="t", diretrix_user="u", diretrix_pass="p", work_api_key="k", c2s_rate_limit=""
    )
    sandbox = await stack.enter_async_context(TestServer(create_app(config)))
    url = str(sandbox.make_url("")).rstrip("/")
    return sandbox, {
        "REDIS_URL": redis_url, "DATABASE_URL": database_url, "HOST": "127.0.0.1", "PORT": "0",
        "C2S_WEBHOOK_SECRET": "door-secret", "C2S_BASE_URL": url, "DIRETRIX_BASE_URL": url,
        "WORK_API_BASE_URL": url, "C2S_TOKEN": "t", "DIRETRIX_USER": "u", "DIRETRIX_PASS": "p",
        "WORK_API_KEY": "k", "ALERT_EVERY": "0", "BACKOFF_BASE_SECS": "0.05", "BACKOFF_MAX_SECS": "0.1",
        "BLOCK_SECS": "5",
    }  # fmt: skip


@asynccontextmanager
async def running(redis_url: str, database_url: str, **more: str) -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        sandbox, environ = await sandboxed(stack, redis_url, database_url)
        environ |= {
            "INSTANCE": "all", "TRIGGER_API_KEY": "trigger-key", "C2S_RATE_LIMIT": "6000/minute",
            "DIRETRIX_RATE_LIMIT": "6000/minute", "WORK_API_RATE_LIMIT": "6000/minute", "MAX_ATTEMPTS": "2",
        }  # fmt: skip
        settings = load_settings("processor", environ | more)
        await migrate(database_url)
        redis = command_client(redis_url)
        stack.push_async_callback(redis.aclose)
        record = await asyncpg.connect(database_url)
        stack.push_async_callback(record.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        stop = asyncio.Event()
        services = [
            asyncio.create_task(process(settings, stop)),
            asyncio.create_task(project(settings, stop)),
        ]

        async def end() -> None:
            stop.set()
            await asyncio.gather(*services)

        stack.push_async_callback(end)
        door = await stack.enter_async_context(open_door(settings))
        yield System(settings, door, sandbox, http, redis, record)


async def fresh_database(server: EmbeddedPostgres) -> str:
    """URL of an empty database."""
    name = f"t_{secrets.token_hex(6)}"
    conn = await asyncpg.connect(server.url)
    await conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    await conn.close()
    return server.url.rpartition("/")[0] + f"/{name}"
