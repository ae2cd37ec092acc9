"""Several doors on one port: `python -m ingress --workers N`, with real processes and real signals."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
from support_ingress import WEBHOOKS, entries, lead, signed
from support_process import HOME, DoorProcess, door_process
from support_waiting import until, until_so

from ops.dev.ports import free_port

WORKERS = 2
DEADLINE_S = 10


def said(door: DoorProcess, event: str) -> list[dict[str, Any]]:
    """Whole log lines of one name; the last line may still be on its way."""
    lines = door.output().splitlines(keepends=True)
    found = [orjson.loads(line) for line in lines if line.endswith("\n")]
    return [line for line in found if line["event"] == event]


async def all_listen(door: DoorProcess, times: int = WORKERS) -> None:
    await until_so(lambda: len(said(door, "ingress.listening")) >= times, 60)


async def post(client: aiohttp.ClientSession, door: DoorProcess, lead_id: str) -> str:
    raw = lead(lead_id)
    async with client.post(door.url + WEBHOOKS, data=raw, headers=signed(raw)) as answer:
        content = await answer.json()
        return str(content.get("status")) if answer.status == 200 else str(answer.status)


def new_connections() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=8))


async def accepted_by(client: aiohttp.ClientSession, port: int) -> int:
    async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        rows = (await answer.text()).splitlines()
    return next(
        int(float(r.split()[1])) for r in rows if r.startswith('c2s_webhooks_total{result="accepted"}')
    )


async def test_workers_share_a_port_and_one_that_dies_is_replaced(redis_url: str, tmp_path: Path) -> None:
    """Both take webhooks, each has its metrics; after a SIGKILL there are two again; SIGTERM ends all."""
    ports = neighbours(WORKERS)
    env = {"INGRESS_WORKERS": str(WORKERS), "METRICS_PORT": str(ports[0]), "INSTANCE": "m"}
    async with door_process(tmp_path / "log", redis_url, **env) as door, new_connections() as client:
        await all_listen(door)
        assert {line["port"] for line in said(door, "ingress.listening")} == {door.port}
        sent = 200  # the kernel draws a worker for each connection: all with one would be a miracle
        assert Counter(await asyncio.gather(*(post(client, door, f"a{n}") for n in range(sent)))) == {
            "accepted": sent
        }
        shares = [await accepted_by(client, port) for port in ports]
        assert sum(shares) == sent
        assert all(shares)
        async with client.get(door.url + "/metrics") as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "not_found")

        victim = next(line["pid"] for line in said(door, "worker.started") if line["worker"] == "m-1")
        os.kill(victim, signal.SIGKILL)
        await until_so(lambda: said(door, "worker.ended"))
        await all_listen(door, WORKERS + 1)
        [ended] = said(door, "worker.ended")
        assert (ended["worker"], ended["exit_code"]) == ("m-1", -signal.SIGKILL)
        assert set(await asyncio.gather(*(post(client, door, f"b{n}") for n in range(50)))) == {"accepted"}

        family = psutil.Process(door.pid).children()
        assert len(family) == WORKERS
        os.kill(door.pid, signal.SIGTERM)
        await until(lambda: over(door.pid))
        assert not [one for one in family if one.is_running()]
        assert len(said(door, "shutdown.drained")) == WORKERS + 1
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
    assert len(entries(redis_url)) == sent + 50


async def test_every_200_under_a_stop_is_kept(redis_url: str, tmp_path: Path) -> None:
    """SIGTERM to the parent while webhooks come: what was answered 200 is kept, and all ends in time."""
    env = {"INGRESS_WORKERS": str(WORKERS), "SHUTDOWN_DEADLINE_SECS": str(DEADLINE_S)}
    async with door_process(tmp_path / "log", redis_url, **env) as door, new_connections() as client:
        await all_listen(door)
        kept: list[str] = []

        async def sender(name: int) -> None:
            for n in range(100_000):
                try:
                    if await post(client, door, f"s{name}-{n}") == "accepted":
                        kept.append(f"s{name}-{n}")
                except (aiohttp.ClientError, OSError):
                    return  # the door is closed

        senders = [asyncio.create_task(sender(n)) for n in range(8)]
        await until_so(lambda: len(kept) >= 100)
        os.kill(door.pid, signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S + 20):
            await until(lambda: over(door.pid))
            await asyncio.gather(*senders)
    assert set(kept) <= {e["lead_id"] for e in entries(redis_url)}


def test_what_cannot_run_says_so() -> None:
    """A number that is none, and a worker that refuses its settings: exit code 2 and the name."""
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    command = [sys.executable, "-m", "ingress", "--workers"]
    done = subprocess.run(
        [*command, "two"], env=env, cwd=HOME, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "INGRESS_WORKERS" in done.stderr
    malformed = {"C2S_WEBHOOK_SECRET": "whsec_!", "PORT": "0", "HOST": "127.0.0.1", "LOG_FORMAT": "json"}
    done = subprocess.run(
        [*command, "2"],
        env=env | malformed,
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "C2S_WEBHOOK_SECRET" in done.stdout
    assert "refuses its settings" in done.stdout


async def over(pid: int) -> bool:
    """Whether a child of ours has ended; it is reaped by whoever started it."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def neighbours(count: int) -> list[int]:
    """So many free ports in a row."""
    while True:
        ports = list(range(first := free_port(), first + count))
        with ExitStack() as held, suppress(OSError, OverflowError):
            for port in ports:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
