"""The engine beside a bare loop of XREADGROUP COUNT 100 and pipelined XACK; two processes beside one.

Where two processes are set beside one, each has a core of its own and Redis runs on whichever core has
time for it: with more than two cores that is a third, on two it takes what the processes leave. So on two
cores the figure without work, where nothing is left, is bound by the machine; what a lead costs in processor
time, in one process and in two, says what more cores would give.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.figures import ratios, spread
from bench.rig import KEYS, cpu_s, fill, floating, python, redis_server, told
from ops.dev.redis_server import EmbeddedRedis
from ops.redis import command_client

CONCURRENCY = 100
STEP_S = 0.02


@dataclass(frozen=True, slots=True)
class Pace:
    """Entries per second, and the processor time of each, in the engine's processes and in Redis."""

    per_s: float
    cpu_us: float
    redis_us: float


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Entries per second: bare, engine without work, engine with a 20 ms step; two processes."""
    kinds = ("bare", "noop", "step")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    together: dict[tuple[str, int], list[Pace]] = {(k, n): [] for k in kinds[1:] for n in (1, 2)}
    with redis_server(folder) as server:
        for turn in range(rounds):
            for kind in kinds:
                await fill(server.url, count, f"{kind}-{turn}")
                found[kind].append(await _rate(server.url, kind, count))
            for (kind, processes), paces in together.items():
                await fill(server.url, 2 * count, f"{kind}-{processes}-{turn}")
                paces.append(await _together(server, kind, processes, 2 * count))
    bound = CONCURRENCY / STEP_S
    beside = {kind: (together[kind, 2], together[kind, 1]) for kind in kinds[1:]}
    return {
        "bare loop, entries per second": spread(found["bare"], 0),
        "engine without work, entries per second": spread(found["noop"], 0),
        "ratio to the bare loop": ratios(found["noop"], found["bare"]),
        "20 ms step at concurrency 100, per second": spread(found["step"], 0),
        "ratio to concurrency / latency": spread([x / bound for x in found["step"]]),
        "20 ms step, two processes beside one": _ratios("per_s", *beside["step"]),
        "without work, two processes beside one": _ratios("per_s", *beside["noop"]),
        "CPU of an entry, two processes beside one": _ratios("cpu_us", *beside["noop"]),
        "CPU us per entry, engine": spread([pace.cpu_us for pace in together["noop", 1]], 0),
        "CPU us per entry, Redis": spread([pace.redis_us for pace in together["noop", 1]], 0),
    }


def _ratios(what: str, ours: Sequence[Pace], floor: Sequence[Pace]) -> dict[str, float]:
    return ratios([getattr(pace, what) for pace in ours], [getattr(pace, what) for pace in floor])


async def _together(server: EmbeddedRedis, kind: str, processes: int, count: int) -> Pace:
    """How several processes go together while the middle eight tenths of the entries are worked off."""
    client = command_client(server.url)
    with ExitStack() as stack:
        stack.enter_context(floating(server.pid))
        workers = [
            stack.enter_context(
                python(
                    "-m",
                    "bench.processing_worker",
                    kind,
                    "0",
                    str(CONCURRENCY),
                    core=core,
                    REDIS_URL=server.url,
                )
            )
            for core in range(processes)
        ]
        marks: list[tuple[float, float, float, float]] = []
        async with asyncio.timeout(120):
            for part in (0.1, 0.9):
                while (outcomes := await client.xlen(KEYS.outcomes)) < 2 * count * part:
                    await asyncio.sleep(0.02)
                ours = sum(cpu_s(worker.pid) for worker in workers)
                marks.append((outcomes / 2, time.monotonic(), ours, cpu_s(server.pid)))
    await client.aclose()
    entries, seconds, ours, redis = (late - early for early, late in zip(*marks, strict=True))
    return Pace(entries / seconds, ours / entries * 1e6, redis / entries * 1e6)


async def _rate(url: str, kind: str, count: int, core: int = 0) -> float:
    words = ("-m", "bench.processing_worker", kind, str(count), str(CONCURRENCY))
    said = json.loads(await asyncio.to_thread(told, *words, core=core, REDIS_URL=url))
    return said["entries"] / said["seconds"]
