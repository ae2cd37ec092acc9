"""`python -m ingress` as a process of its own: FAULTS.md rows 28 and 42."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from support_ingress import NOWHERE, SECRET, WEBHOOKS, entries, lead, signed

HOME = Path(__file__).parents[2]
REDIS_NOWHERE = "redis://127.0.0.1:1/0"


def environment(redis_url: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    ours = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": NOWHERE,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LOG_FORMAT": "json",
        "C2S_WEBHOOK_SECRET": SECRET,
    }
    return kept | ours | more


async def start(env: Mapping[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingress", env=env, cwd=HOME, stdout=pipe, stderr=pipe
    )


@asynccontextmanager
async def listening(env: Mapping[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A door's process and its URL, taken from what it logs."""
    process = await start(env)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while True:
                line = orjson.loads(await process.stdout.readline())
                if line["event"] == "ingress.listening":
                    break
        yield process, f"http://127.0.0.1:{line['port']}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"C2S_WEBHOOK_SECRET": ""}, "C2S_WEBHOOK_SECRET"),
        ({"PORT": "many"}, "PORT"),
        ({"C2S_WEBHOOK_SECRET_FILE": "/nowhere"}, "C2S_WEBHOOK_SECRET"),
    ],
)
async def test_wrong_settings(more: dict[str, str], named: str) -> None:
    """Row 42: exit code 2 with the setting's name, before any port opens."""
    process = await start(environment(REDIS_NOWHERE, **more))
    out, err = await process.communicate()
    assert process.returncode == 2
    assert named.encode() in err
    assert b"listening" not in out


async def test_starts_with_everything_away() -> None:
    """With neither Redis nor Postgres the door is alive, not ready, and ends with code 0 when asked."""
    async with listening(environment(REDIS_NOWHERE)) as (process, url), aiohttp.ClientSession() as client:
        assert (await client.get(url + "/health")).status == 200
        assert (await client.get(url + "/ready")).status == 503
        answer = await client.post(url + WEBHOOKS, data=lead(), headers=signed(lead()))
        assert answer.status == 503
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"shutdown.drained" in out


async def test_a_promise_that_this_redis_cannot_keep_is_refused_at_the_start(redis_url):
    """REQUIRE_FSYNC where Redis neither has WAITAOF nor syncs each write: exit code 2, naming the setting."""
    process = await start(environment(redis_url, REQUIRE_FSYNC="true"))
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"REQUIRE_FSYNC" in out + err
    assert b"ingress.listening" not in out
    assert b"Traceback" not in err


async def test_stopped_under_load(redis_url: str) -> None:
    """Row 28: SIGTERM while webhooks pour in: every 200 is kept, exit code 0, no traceback."""
    taken: list[str] = []
    flowing = asyncio.Event()

    async def pour(client: aiohttp.ClientSession, url: str, name: int) -> None:
        for n in range(10_000):
            raw = lead(f"L{name}-{n}")
            try:
                async with client.post(url + WEBHOOKS, data=raw, headers=signed(raw)) as response:
                    answer = await response.json()
            except aiohttp.ClientError:
                return
            taken.append(answer["event_id"])
            if len(taken) > 100:
                flowing.set()

    async with listening(environment(redis_url)) as (process, url), aiohttp.ClientSession() as client:
        pouring = [asyncio.create_task(pour(client, url, name)) for name in range(10)]
        reading = asyncio.create_task(process.communicate())
        async with asyncio.timeout(60):
            await flowing.wait()
            process.send_signal(signal.SIGTERM)
            out, err = await reading
            await asyncio.gather(*pouring)
    assert (process.returncode, err) == (0, b"")
    assert out.count(b'"webhook.accepted"') >= len(taken)
    assert set(taken) <= {e["event_id"] for e in entries(redis_url)}
    lines = out.splitlines()
    assert not [
        line for line in lines if re.search(rb'"level":"(warning|error)"', line) and b"spool" not in line
    ]
