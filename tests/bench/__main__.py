"""``make bench``: the door beside a bare aiohttp handler, interleaved; ratios count, not figures.

Servers run on one core, the load and Redis on the other (where the machine has two). Prints a table and
writes JSON to ``bench-results/``. The client is Python too: where it is the slower side, the ratio flatters.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import redis

from ops.dev.ports import free_port
from ops.dev.redis_server import EmbeddedRedis
from ops.sign import sign

SECRET = "bench"
CONNECTIONS = 64
BARE = """
import sys
from aiohttp import web
async def take(request):
    await request.read()
    return web.json_response({"status": "accepted"})
app = web.Application()
app.router.add_post("/{tail:.*}", take)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


def body(number: int) -> bytes:
    """A signed webhook's body of about 200 bytes, each of a lead of its own."""
    head = f'{{"lead_id":"bench-{os.getpid()}-{number}","action":"on_create_lead","pad":"'
    return (head + "x" * (198 - len(head)) + '"}').encode()


async def load(url: str, requests: int, first: int) -> tuple[float, float]:
    """Requests per second and the 99th percentile in milliseconds."""
    numbers = iter(range(first, first + requests))
    times: list[float] = []

    async def one(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            raw = body(number)
            begun = time.perf_counter()
            headers = {"X-C2S-Signature": sign(SECRET, raw)}
            async with session.post(url, data=raw, headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"answered {answer.status}")
            times.append((time.perf_counter() - begun) * 1000)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        begun = time.perf_counter()
        await asyncio.gather(*(one(session) for _ in range(CONNECTIONS)))
        took = time.perf_counter() - begun
    return requests / took, statistics.quantiles(times, n=100)[98]


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[core]})


async def ready(url: str) -> None:
    """Until the server answers."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def run(rounds: int, requests: int, server: EmbeddedRedis) -> dict[str, object]:
    """All rounds; medians with least and most."""
    ports = {"ours": free_port(), "bare": free_port()}
    env = {
        **os.environ,
        "REDIS_URL": server.url,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "C2S_WEBHOOK_SECRET": SECRET,
        "HOST": "127.0.0.1",
        "PORT": str(ports["ours"]),
        "LOG_FORMAT": "json",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    servers = [
        subprocess.Popen([sys.executable, "-m", "ingress"], env=env, **quiet),
        subprocess.Popen([sys.executable, "-c", BARE, str(ports["bare"])], **quiet),
    ]
    for made in servers:
        pin(made.pid, 0)
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    client = redis.Redis.from_url(server.url)
    try:
        for name, port in ports.items():
            await ready(f"http://127.0.0.1:{port}/health")
            await load(f"http://127.0.0.1:{port}/api/v1/webhook/leads", 500, -500)
        before = client.info("commandstats")
        for turn in range(rounds):
            for name, port in ports.items():
                url = f"http://127.0.0.1:{port}/api/v1/webhook/leads"
                found[name].append(await load(url, requests, turn * requests))
        after = client.info("commandstats")
        rss = int(Path(f"/proc/{servers[0].pid}/statm").read_text().split()[1]) * 4096
    finally:
        for made in servers:
            made.terminate()
            made.wait(10)
    calls = after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"]
    return {
        "rounds": rounds,
        "requests": requests,
        **{
            n: {"per_second": spread([r for r, _ in x]), "p99_ms": spread([p for _, p in x])}
            for n, x in found.items()
        },
        "ratio": spread([o[0] / b[0] for o, b in zip(found["ours"], found["bare"], strict=True)]),
        "append_calls_per_webhook": round(calls / (rounds * requests), 3),
        "ingress_rss_mb": round(rss / 1e6, 1),
    }


def spread(figures: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(figures), 3),
        "min": round(min(figures), 3),
        "max": round(max(figures), 3),
    }


def main() -> int:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=5000)
    asked = parser.parse_args()
    pin(0, 1)
    with tempfile.TemporaryDirectory(prefix="c2s-bench-") as folder:
        with EmbeddedRedis(Path(folder)) as server:
            pin(server.pid, 1)
            result = asyncio.run(run(asked.rounds, asked.requests, server))
    for name, value in result.items():
        print(f"{name:26} {value}")
    Path("bench-results").mkdir(exist_ok=True)
    Path("bench-results/ingress.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
