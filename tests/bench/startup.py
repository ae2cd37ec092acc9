"""From starting a process to its being ready, beside the floor: a Python that imports the main libraries.

Ready is what a process says of itself: the door that it listens, the processor and the projector that they
are at work. On a shared machine the processor time says more than the seconds.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import ratios, spread
from bench.rig import SECRET, environment, pin, postgres_server, ran_ns, redis_server
from ops.migrate import migrate

FLOOR = "aiohttp, redis and asyncpg imported"
# Name, what is started, and the log line that says it is ready; without one: when it has ended.
STARTED = {
    FLOOR: (("-c", "import aiohttp, redis, asyncpg"), ""),
    "ingress": (("-m", "ingress"), "ingress.listening"),
    "processor": (("-m", "processor"), "processor.started"),
    "projector": (("-m", "projections"), "projector.active"),
    "c2s --help": (("-m", "ops.cli", "--help"), ""),
}
_MS = 1000


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Seconds and processor time until each is ready; ``count`` starts of each in a round."""
    took: dict[str, list[float]] = {name: [] for name in STARTED}
    spent: dict[str, list[float]] = {name: [] for name in STARTED}
    with redis_server(folder) as redis, postgres_server(folder) as postgres:
        await migrate(postgres.url)
        env = {
            **environment(),
            "REDIS_URL": redis.url,
            "DATABASE_URL": postgres.url,
            "C2S_WEBHOOK_SECRET": SECRET,
            "HOST": "127.0.0.1",
            "PORT": "0",
            "LOG_FORMAT": "json",
            **dict.fromkeys(("C2S_TOKEN", "DIRETRIX_USER", "DIRETRIX_PASS", "WORK_API_KEY"), "sandbox"),
        }
        for _ in range(rounds * count):
            for name, (words, line) in STARTED.items():
                seconds, cpu_s = await asyncio.to_thread(_until_ready, words, line, env)
                took[name].append(seconds)
                spent[name].append(cpu_s)
    found: dict[str, object] = {}
    for name in STARTED:
        found[f"{name}: ms"] = spread([s * _MS for s in took[name]], 0)
        found[f"{name}: CPU ms"] = spread([s * _MS for s in spent[name]], 0)
        if name != FLOOR:
            found[f"{name}: CPU beside the floor"] = ratios(spent[name], spent[FLOOR])
    return found


def _until_ready(words: tuple[str, ...], line: str, env: dict[str, str]) -> tuple[float, float]:
    """Seconds and seconds of processor time."""
    before, begun = _children_s(), time.perf_counter()
    made = subprocess.Popen(
        [sys.executable, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    pin(made.pid, 0)
    if not line:
        made.communicate()
        return time.perf_counter() - begun, _children_s() - before
    try:
        for said in made.stdout:
            if json.loads(said)["event"] == line:
                return time.perf_counter() - begun, ran_ns(made.pid) / 1e9
        raise RuntimeError(f"{words} ended without being ready")
    finally:
        made.terminate()
        made.communicate()


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
