"""The engine beside a bare loop of XREADGROUP COUNT 100 and pipelined XACK."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

from bench.figures import ratios, spread
from bench.rig import KEYS, fill, python, redis_server, told
from ops.redis import command_client

CONCURRENCY = 100
STEP_S = 0.02


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Entries per second: bare, engine without work, engine with a 20 ms step; two processes."""
    found: dict[str, list[float]] = {kind: [] for kind in ("bare", "noop", "step", "x1", "x2")}
    with redis_server(folder) as server:
        for turn in range(rounds):
            for kind in ("bare", "noop", "step"):
                await fill(server.url, count, f"{kind}-{turn}")
                found[kind].append(await _rate(server.url, kind, count))
            for processes in (1, 2):
                await fill(server.url, 2 * count, f"{processes}-{turn}")
                found[f"x{processes}"].append(await _together(server.url, processes, 2 * count))
    bound = CONCURRENCY / STEP_S
    return {
        "bare loop, entries per second": spread(found["bare"], 0),
        "engine without work, entries per second": spread(found["noop"], 0),
        "ratio to the bare loop": ratios(found["noop"], found["bare"]),
        "20 ms step at concurrency 100, per second": spread(found["step"], 0),
        "ratio to concurrency / latency": spread([x / bound for x in found["step"]]),
        "two processes beside one": ratios(found["x2"], found["x1"]),
    }


async def _together(url: str, processes: int, count: int) -> float:
    """Entries per second of several processes, by the times of their outcomes in the stream."""
    client = command_client(url)
    with ExitStack() as stack:
        for core in range(processes):
            words = ("-m", "bench.processing_worker", "noop", "0", str(CONCURRENCY))
            stack.enter_context(python(*words, core=core, REDIS_URL=url))
        async with asyncio.timeout(120):
            while await client.xlen(KEYS.outcomes) < 2 * count:
                await asyncio.sleep(0.1)
    ends = [await read(KEYS.outcomes, count=1) for read in (client.xrange, client.xrevrange)]
    first_ms, last_ms = (int(rows[0][0].partition(b"-")[0]) for rows in ends)
    await client.aclose()
    return count / ((last_ms - first_ms) / 1000)


async def _rate(url: str, kind: str, count: int, core: int = 0) -> float:
    words = ("-m", "bench.processing_worker", kind, str(count), str(CONCURRENCY))
    said = json.loads(await asyncio.to_thread(told, *words, core=core, REDIS_URL=url))
    return said["entries"] / said["seconds"]
