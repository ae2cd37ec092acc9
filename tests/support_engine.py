"""A real engine in the test's own loop: real Redis and Postgres, the sandbox as the world outside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import TestServer

from ops.append import Appender
from ops.durable import durability_of
from ops.migrate import migrate
from ops.postgres import create_pool
from ops.recover import Recovery
from ops.redis import Client, blocking_client, command_client
from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig
from ops.sandbox.webhooks import webhook_body
from ops.seal import codec_of
from ops.settings import Settings, load_settings
from processor.budget import Budgets
from processor.engine import Engine
from processor.exchange import Exchange
from processor.gate import Gate
from processor.outside import open_clients
from processor.regroup import Regroup
from processor.service import build_executor, restore_lost
from processor.store import LeadStore
from projections.projector import Projector, read_models
from schema.calls import Appending
from schema.events import Event, Outcome, WebhookAccepted, decode, text_fields
from schema.keys import Keys
from schema.webhook import parse_body

KEYS = Keys(0)
ENDS = ("lead_processed", "lead_dead_lettered", "event_ignored")


@dataclass
class World:
    """Everything a test needs to send webhooks and see what came of them."""

    redis: Client
    settings: Settings
    sandbox: TestServer
    http: aiohttp.ClientSession

    async def accept(self, lead: str, action: str = "on_create_lead", shape: str = "data") -> str:
        [item] = parse_body(webhook_body(lead, action, shape, datetime.now(UTC))).elements
        event = WebhookAccepted(
            event_id=item.event_id,
            lead_id=item.lead_id,
            action=item.action,
            version=item.version,
            source="webhook",
            received_at=datetime.now(UTC),
            payload=codec_of(self.settings).seal(item.event_id, "payload", item.payload),
        )
        door = Appender(self.redis, partitions=1, dedup_ttl_s=600, instance="door")
        return (await door.append(Appending(event, item.dedup_key))).event_id

    async def outcomes(self) -> list[Event]:
        return [decode(text_fields(f)) for _, f in await self.redis.xrange(KEYS.outcomes)]

    async def ends(self, count: int) -> list[Outcome]:
        """Wait until so many events reached their end."""
        at, found = "0-0", []
        async with asyncio.timeout(30):
            while len(found) < count:
                for _, rows in await self.redis.xread({KEYS.outcomes: at}, block=2000) or []:
                    for entry_id, fields in rows:
                        at = entry_id
                        event = decode(text_fields(fields))
                        if event.type in ENDS:
                            found.append(event)
        return found

    async def state(self) -> dict:
        async with self.http.get(self.sandbox.make_url("/_sandbox/state")) as answer:
            return await answer.json()

    async def fault(self, **spec: object) -> None:
        async with self.http.post(self.sandbox.make_url("/_sandbox/faults"), json=spec) as answer:
            assert answer.status == 200, await answer.text()

    @asynccontextmanager
    async def engine(self, instance: str = "p1", **changes: object) -> AsyncIterator[Engine]:
        """A running engine, stopped at the end as SIGTERM would."""
        settings = self.settings.model_copy(update={"instance": instance, **changes})
        commands = command_client(settings.redis_url.get_secret_value())
        reader = blocking_client(settings.redis_url.get_secret_value(), block_s=settings.block_secs)
        pool = await create_pool(settings, min_size=0, max_size=2, application_name="test")
        stop = asyncio.Event()
        exchange = Exchange(commands)
        gate = Gate(Budgets(exchange, settings))
        async with open_clients(settings, gate.before, settle=gate.after) as clients:
            durability = await durability_of(settings, commands)
            store = LeadStore(KEYS, commands, reader, settings, durability=durability)
            executor = build_executor(
                store, clients, pool, settings, codec_of(settings),
                commands=commands, exchange=exchange, gate=gate,
            )  # fmt: skip
            recovery = Recovery(commands, pool, settings)
            lost, regroup = restore_lost(recovery, 0), Regroup(store, recovery, 0)
            made = Engine(store, executor, commands, settings, on_lost=lost, regroup=regroup)
            running = asyncio.create_task(made.run(stop))
            try:
                yield made
            finally:
                stop.set()
                await running
                await exchange.aclose()
                await pool.close()
                await reader.aclose()
                await commands.aclose()


@pytest.fixture(scope="module")
async def engine_schema(database_url: str) -> str:
    await migrate(database_url)
    return database_url


async def forget_all(database_url: str) -> None:
    """An empty record, so that no engine finds the unfinished events of another test."""
    conn = await asyncpg.connect(database_url)
    await conn.execute("TRUNCATE webhook_events, event_log, projection_checkpoints, lead_state")
    await conn.close()


@pytest.fixture
async def world(redis_url: str, engine_schema: str) -> AsyncIterator[World]:
    config = SandboxConfig(
        c2s_token="t", diretrix_user="u", diretrix_pass="p", work_api_key="k", c2s_rate_limit=""
    )
    async with TestServer(create_app(config)) as sandbox, aiohttp.ClientSession() as http:
        url = str(sandbox.make_url("")).rstrip("/")
        settings = load_settings(
            "processor",
            {
                "REDIS_URL": redis_url,
                "DATABASE_URL": engine_schema,
                "C2S_BASE_URL": url,
                "DIRETRIX_BASE_URL": url,
                "WORK_API_BASE_URL": url,
                "C2S_TOKEN": "t",
                "DIRETRIX_USER": "u",
                "DIRETRIX_PASS": "p",
                "WORK_API_KEY": "k",
                "C2S_RATE_LIMIT": "0",
                "DIRETRIX_RATE_LIMIT": "0",
                "WORK_API_RATE_LIMIT": "0",
                "BACKOFF_BASE_SECS": "0.05",
                "BACKOFF_MAX_SECS": "0.2",
                "HTTP_TIMEOUT_SECS": "0.5",
                "MAX_ATTEMPTS": "3",
                "UPDATE_SETTLE_SECS": "0",
                "BREAKER_OPEN_SECS": "0.2",
                "BREAKER_OPEN_MAX_SECS": "1",
                "BLOCK_SECS": "1",
            },
        )
        await forget_all(engine_schema)
        redis = command_client(redis_url)
        yield World(redis, settings, sandbox, http)
        await redis.aclose()


@asynccontextmanager
async def projecting(world: World) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A way to bring the record up to date with the streams."""
    conn = await asyncpg.connect(world.settings.database_url.get_secret_value())
    made = Projector(conn, world.redis, partitions=1, batch=500, models=read_models(codec_of(world.settings)))

    async def catch_up() -> None:
        while await made.poll_once(0.001):
            pass

    yield catch_up
    await conn.close()
