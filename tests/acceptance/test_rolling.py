"""A rolling deploy: doors and processors are replaced one after another under load, and nothing is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
import asyncpg
import orjson
from acceptance.test_stopping import Service
from aiohttp.test_utils import TestServer
from support_ingress import SECRET, WEBHOOKS, lead, signed

from chaos.facts import unsettled
from ops.dev.ports import free_port
from ops.migrate import migrate
from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig

DEADLINE_S = 10
CONFIG = SandboxConfig(
    c2s_token="t", diretrix_user="u", diretrix_pass="p", work_api_key="k", c2s_rate_limit=""
)


def environment(redis_url: str, database_url: str, outside: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "REDIS_URL": redis_url, "DATABASE_URL": database_url, "LOG_FORMAT": "json", "HOST": "127.0.0.1",
        "C2S_WEBHOOK_SECRET": SECRET, "C2S_BASE_URL": outside, "DIRETRIX_BASE_URL": outside,
        "WORK_API_BASE_URL": outside, "C2S_TOKEN": "t", "DIRETRIX_USER": "u", "DIRETRIX_PASS": "p",
        "WORK_API_KEY": "k", "C2S_RATE_LIMIT": "0", "DIRETRIX_RATE_LIMIT": "0", "WORK_API_RATE_LIMIT": "0",
        "SHUTDOWN_DEADLINE_SECS": str(DEADLINE_S), "LEASE_TTL_SECS": "4", "HEARTBEAT_SECS": "1",
        "RECLAIM_IDLE_SECS": "4.5",
    }  # fmt: skip


class Fleet:
    """Two doors behind a balancer that tries the other one, two processors, two projectors."""

    def __init__(self, env: Mapping[str, str], http: aiohttp.ClientSession) -> None:
        self.env = env
        self.http = http
        self.ports = {"ingress-1": free_port(), "ingress-2": free_port()}
        self.running: dict[str, Service] = {}
        self.stopped: list[Service] = []
        self.taken: list[str] = []
        self.refused = 0

    async def start(self, name: str) -> None:
        module = {"ingress": "ingress", "processor": "processor", "projector": "projections"}
        env = {**self.env, "INSTANCE": f"{name}-{len(self.stopped)}", "PORT": str(self.ports.get(name, 0))}
        self.running[name] = await Service.start(module[name.partition("-")[0]], env)
        if name in self.ports:
            await self.until_ready(name)

    async def until_ready(self, name: str) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    async with self.http.get(f"http://127.0.0.1:{self.ports[name]}/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def replace(self, name: str) -> None:
        """As a rolling deploy does: SIGTERM, wait for the end, start the new one, wait until it is ready."""
        old = self.running.pop(name)
        await old.stop(signal.SIGTERM)
        self.stopped.append(old)
        await self.start(name)

    async def send(self, raw: bytes) -> None:
        """To one door or, where it does not take connections, the other; a 200 is noted."""
        for port in self.ports.values():
            try:
                url = f"http://127.0.0.1:{port}{WEBHOOKS}"
                async with self.http.post(url, data=raw, headers=signed(raw)) as answer:
                    if answer.status == 200:
                        self.taken.append(orjson.loads(await answer.read())["event_id"])
                        return
            except aiohttp.ClientError:
                continue
        self.refused += 1

    async def flowing(self, more: int) -> None:
        wanted = len(self.taken) + more
        async with asyncio.timeout(60):
            while len(self.taken) < wanted:  # noqa: ASYNC110 -- counted by other tasks
                await asyncio.sleep(0.01)


@asynccontextmanager
async def fleet(env: Mapping[str, str]) -> AsyncIterator[Fleet]:
    async with aiohttp.ClientSession() as http:
        made = Fleet(env, http)
        try:
            for name in (
                "ingress-1",
                "ingress-2",
                "processor-1",
                "processor-2",
                "projector-1",
                "projector-2",
            ):
                await made.start(name)
            yield made
        finally:
            for service in made.running.values():
                if service.process.returncode is None:
                    service.process.kill()
                    await service.process.wait()


async def test_a_rolling_deploy_keeps_every_200_and_messages_nobody_twice(redis_url, database_url):
    """All six processes are replaced one by one while webhooks pour in: none is refused, lost or doubled."""
    await migrate(database_url)
    db = await asyncpg.connect(database_url)
    await db.execute("TRUNCATE webhook_events, event_log, projection_checkpoints, lead_state")
    await db.close()
    async with TestServer(create_app(CONFIG)) as sandbox:
        outside = str(sandbox.make_url("")).rstrip("/")
        async with fleet(environment(redis_url, database_url, outside)) as running:
            over, numbers = asyncio.Event(), count()

            async def pour() -> None:
                while not over.is_set():
                    await running.send(lead(f"roll-{next(numbers)}"))
                    await asyncio.sleep(0.02)

            pouring = asyncio.create_task(pour())
            await running.flowing(20)
            for name in list(running.running):
                await running.replace(name)
                await running.flowing(20)
            over.set()
            await pouring
            async with asyncio.timeout(90):
                while rest := await unsettled(database_url, redis_url, set(running.taken)):
                    assert rest
                    await asyncio.sleep(0.1)
            async with running.http.get(outside + "/_sandbox/state") as answer:
                messages = (await answer.json())["messages"]
    assert running.refused == 0
    assert len(running.stopped) == 6
    assert len(set(running.taken)) == len(running.taken) >= 140
    assert {len(texts) for texts in messages.values()} == {1}
