"""Doors, processors and a projector in the test's loop, each replaced by itself: a rolling deploy."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
from aiohttp.test_utils import TestServer
from support_ingress import Answer, Door, open_door
from support_system import sandboxed
from support_waiting import until

from ops.migrate import migrate
from ops.redis import Client, command_client
from ops.settings import Settings, load_settings
from processor.service import serve as process
from projections.service import serve as project
from schema.events import text_fields
from schema.keys import Keys

DOORS, PROCESSORS = ("door-1", "door-2"), ("processor-1", "processor-2")
ENDS = ("lead_processed", "lead_dead_lettered", "event_ignored")
ALL = (*PROCESSORS, "projector", *DOORS)
_SERVES = {"processor": process, "projector": project}


@dataclass
class Fleet:
    """What runs, by name, each with its own number of partitions."""

    settings: Settings
    redis: Client
    record: asyncpg.Connection
    http: aiohttp.ClientSession
    sandbox: TestServer
    doors: dict[str, Door] = field(default_factory=dict)
    running: dict[str, AsyncExitStack] = field(default_factory=dict)

    def counting(self, number: int, other: int = 0) -> Settings:
        return self.settings.model_copy(
            update={"stream_partitions": number, "stream_partitions_other": other}
        )

    async def start(self, name: str, number: int, other: int = 0) -> None:
        settings = self.counting(number, other).model_copy(update={"instance": name})
        stack = self.running[name] = AsyncExitStack()
        if name in DOORS:
            self.doors[name] = await stack.enter_async_context(open_door(settings))
        else:
            await stack.enter_async_context(_serving(name, settings))

    async def stop(self, name: str) -> None:
        await self.running.pop(name).aclose()

    async def replace(self, name: str, number: int, other: int = 0) -> None:
        """As a rolling deploy does: stop, start anew with other settings."""
        if name in self.running:
            await self.stop(name)
        await self.start(name, number, other)

    async def post(self, door: str, raw: bytes) -> Answer:
        answer = await self.doors[door].post(raw)
        assert answer.status == 200, answer.json
        return answer

    async def fault(self, **spec: object) -> None:
        async with self.http.post(self.sandbox.make_url("/_sandbox/faults"), json=spec) as answer:
            assert answer.status == 200, await answer.text()

    async def ended(self, status: str, count: int) -> None:
        """Wait until so many events are on record with a status."""
        query = "SELECT count(*) FROM webhook_events WHERE status = $1"
        await until(lambda: self.record.fetchval(query, status), lambda found: found == count, 60)

    async def ends(self, partitions: int, count: int) -> list[dict[str, str]]:
        """Wait until the streams tell so many ends."""

        async def found() -> list[dict[str, str]]:
            told = await self.told(partitions)
            return [fields for one in told.values() for fields in one if fields["type"] in ENDS]

        return await until(found, lambda ends: len(ends) == count, 60)

    async def state(self) -> dict[str, Any]:
        async with self.http.get(self.sandbox.make_url("/_sandbox/state")) as answer:
            return await answer.json()

    async def messages(self) -> dict[str, int]:
        return {lead: len(texts) for lead, texts in (await self.state())["messages"].items()}

    async def told(self, partitions: int) -> dict[str, list[dict[str, str]]]:
        """What was said of each lead, in the order of time over all partitions (to the microsecond)."""
        rows: list[dict[str, str]] = []
        for partition in range(partitions):
            found: Any = await self.redis.xrange(Keys(partition).outcomes)
            rows += [text_fields(fields) for _, fields in found]
        by_lead: dict[str, list[dict[str, str]]] = defaultdict(list)
        for fields in sorted(rows, key=lambda row: row["at"]):
            by_lead[fields["lead_id"]].append(fields)
        return by_lead


@asynccontextmanager
async def _serving(name: str, settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(_SERVES[name.partition("-")[0]](settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def fleet(redis_url: str, database_url: str, **more: str) -> AsyncIterator[Fleet]:
    """Nothing runs yet; whatever runs at the end is stopped."""
    async with AsyncExitStack() as stack:
        sandbox, environ = await sandboxed(stack, redis_url, database_url)
        environ |= {
            "C2S_RATE_LIMIT": "0", "DIRETRIX_RATE_LIMIT": "0", "WORK_API_RATE_LIMIT": "0",
            "UPDATE_SETTLE_SECS": "0", "TRIM_KEEP": "0",
        } | more  # fmt: skip
        await migrate(database_url)
        redis = command_client(redis_url)
        stack.push_async_callback(redis.aclose)
        record = await asyncpg.connect(database_url)
        stack.push_async_callback(record.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        made = Fleet(load_settings("processor", environ), redis, record, http, sandbox)
        try:
            yield made
        finally:
            for name in [*made.running]:
                await made.stop(name)
