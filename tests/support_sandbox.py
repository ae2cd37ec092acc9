"""The sandbox on a real socket, and what its tests ask of it."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.sandbox.app import SandboxConfig, create_app

BEARER = {"Authorization": "Bearer t0ken"}
BASIC = {"Authorization": aiohttp.encode_basic_auth("user", "pass")}
MESSAGE = "/integration/leads/L1/create_message"
WORK = {"token": "key", "modulo": "cpf", "consulta": "52998224725"}


def config(**changes) -> SandboxConfig:
    """A configuration without latency and limit."""
    known = {"c2s_token": "t0ken", "diretrix_user": "user", "diretrix_pass": "pass", "work_api_key": "key"}
    return SandboxConfig(**(known | changes))


class Clock:
    """A monotonic clock and a calendar that move when told to."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def now(self):
        return datetime(2026, 1, 21, 10, 30, tzinfo=UTC) + timedelta(seconds=self.seconds)


@asynccontextmanager
async def sandbox(clock=None, **changes):
    """A client of a running sandbox."""
    clock = clock or Clock()
    app = create_app(config(**changes), now=clock.now, monotonic=clock.monotonic)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as client:
        yield client


async def get(client, path, **more):
    async with client.get(path, **({"headers": BEARER} | more)) as response:
        return response.status, orjson.loads(await response.read())


async def post(client, path, body, **more):
    async with client.post(path, json=body, **({"headers": BEARER} | more)) as response:
        return response.status, orjson.loads(await response.read())


async def state_of(client):
    return (await get(client, "/_sandbox/state"))[1]


async def order(client, target, kind, **more):
    status, answer = await post(client, "/_sandbox/faults", {"target": target, "kind": kind} | more)
    assert status == 200, answer


@asynccontextmanager
async def receiver():
    """An endpoint that keeps what it is sent."""
    kept = []

    async def keep(request):
        kept.append((request.path_qs, dict(request.headers), await request.read()))
        return web.json_response({"status": "accepted"})

    app = web.Application()
    app.router.add_post("/hook", keep)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook")), kept
