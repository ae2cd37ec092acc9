"""Row 28: each service, asked to stop under load, ends in order; the next finishes what was answered 200."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import orjson
import pytest
from aiohttp.test_utils import TestServer
from support_ingress import SECRET, WEBHOOKS, lead, signed
from support_waiting import until, until_so

from chaos.facts import unsettled
from ops.dev.ports import free_port
from ops.migrate import migrate
from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig

DEADLINE_S = 10


class Service:
    """``python -m <module>``, its output and its end."""

    def __init__(self, module: str, process: asyncio.subprocess.Process) -> None:
        self.module = module
        self.process = process
        self.output = b""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, module: str, env: Mapping[str, str]) -> "Service":
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=env, stdout=PIPE, stderr=STDOUT
        )
        return cls(module, process)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output += line

    async def stop(self, number: signal.Signals) -> None:
        """Ask it to stop; it must end in time, with code 0, and say so."""
        begun = time.monotonic()
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), DEADLINE_S + 5)
        await self._reading
        assert self.process.returncode == 0, self.output[-2000:]
        assert time.monotonic() - begun < DEADLINE_S + 1
        assert b'"shutdown.drained"' in self.output
        assert b"Traceback" not in self.output


@asynccontextmanager
async def started(modules: tuple[str, ...], env: Mapping[str, str]) -> AsyncIterator[dict[str, Service]]:
    services = {module: await Service.start(module, env) for module in modules}
    try:
        yield services
    finally:
        for service in services.values():
            if service.process.returncode is None:
                service.process.kill()
                await service.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_every_service_stops_in_order_under_load(redis_url, database_url, number):
    """All end with code 0 while webhooks pour in; every 200 reaches its end, with one message."""
    await migrate(database_url)
    db = await asyncpg.connect(database_url)
    await db.execute("TRUNCATE webhook_events, event_log, projection_checkpoints, lead_state")
    await db.close()
    config = SandboxConfig(
        c2s_token="t", diretrix_user="u", diretrix_pass="p", work_api_key="k", c2s_rate_limit=""
    )
    taken: list[str] = []
    async with TestServer(create_app(config)) as sandbox, aiohttp.ClientSession() as http:
        url = str(sandbox.make_url("")).rstrip("/")
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env = kept | {
            "REDIS_URL": redis_url, "DATABASE_URL": database_url, "LOG_FORMAT": "json", "HOST": "127.0.0.1",
            "PORT": str(free_port()), "C2S_WEBHOOK_SECRET": SECRET, "C2S_BASE_URL": url,
            "DIRETRIX_BASE_URL": url,
            "WORK_API_BASE_URL": url, "C2S_TOKEN": "t", "DIRETRIX_USER": "u", "DIRETRIX_PASS": "p",
            "WORK_API_KEY": "k", "C2S_RATE_LIMIT": "0", "DIRETRIX_RATE_LIMIT": "0",
            "WORK_API_RATE_LIMIT": "0",
            "SHUTDOWN_DEADLINE_SECS": str(DEADLINE_S), "LEASE_TTL_SECS": "4", "HEARTBEAT_SECS": "1",
            "RECLAIM_IDLE_SECS": "4.5",
        }  # fmt: skip
        door = f"http://127.0.0.1:{env['PORT']}{WEBHOOKS}"

        async def pour(stop: asyncio.Event) -> None:
            n = 0
            while not stop.is_set():
                raw = lead(f"stop-{number.name}-{n}")
                n += 1
                try:
                    async with http.post(door, data=raw, headers=signed(raw)) as answer:
                        if answer.status == 200:
                            taken.append(orjson.loads(await answer.read())["event_id"])
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)  # not listening yet, or no more

        async def flowing(more: int) -> None:
            wanted = len(taken) + more
            await until_so(lambda: len(taken) >= wanted, seconds=60)

        over = asyncio.Event()
        async with started(("ingress", "processor", "projections"), env) as services:
            pouring = [asyncio.create_task(pour(over))]
            for module, up in (("projections", b'"projector.active"'), ("processor", b'"processor.started"')):
                await until_so(lambda m=module, said=up: said in services[m].output, seconds=60)
            await flowing(50)
            for module in ("projections", "processor", "ingress"):
                await services[module].stop(number)
                if module != "ingress":
                    await flowing(20)
            over.set()
            await asyncio.gather(*pouring)
        async with started(("processor", "projections"), env):
            await until(
                lambda: unsettled(database_url, redis_url, set(taken)), lambda rest: not rest, seconds=90
            )
        async with http.get(url + "/_sandbox/state") as answer:
            messages = (await answer.json())["messages"]
    assert len(set(taken)) == len(taken) >= 90
    assert {len(texts) for texts in messages.values()} == {1}
