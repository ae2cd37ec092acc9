"""What sealing costs the door: the same door with PAYLOAD_KEYS and without, interleaved; one Redis each.

It costs less than what a shared machine does to two runs in a row, so the doors change places every few
thousand requests, and each pair of slices gives one ratio.
"""

import base64
import os
from pathlib import Path

from bench.figures import ratios, spread
from bench.http_load import Loaded, load
from bench.ingress import requests
from bench.rig import NO_POSTGRES, SECRET, answers, python, ran_ns, redis_server, rss_mb
from ops.dev.ports import free_port

SIZES = (200, 2000)
SLICES = 5  # of a round


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Requests per second and processor time with and without keys, their ratios, memory."""
    sealed, clear = free_port(), free_port()
    with redis_server(folder / "sealed") as one, redis_server(folder / "clear") as other:
        common = {
            "DATABASE_URL": NO_POSTGRES,
            "C2S_WEBHOOK_SECRET": SECRET,
            "HOST": "127.0.0.1",
            "LOG_FORMAT": "json",
        }
        keys = {"PAYLOAD_KEYS": base64.b64encode(os.urandom(32)).decode()}
        with (
            python("-m", "ingress", **common, **keys, REDIS_URL=one.url, PORT=str(sealed)) as door,
            python("-m", "ingress", **common, REDIS_URL=other.url, PORT=str(clear)) as plain,
        ):
            answers(sealed)
            answers(clear)
            found: dict[str, object] = {}
            for size in SIZES:
                found |= await _compared(((sealed, door.pid), (clear, plain.pid)), size, rounds, count)
            found["ingress RSS MB, with keys"] = rss_mb(door.pid)
            found["ingress RSS MB, without"] = rss_mb(plain.pid)
    return found


async def _compared(
    doors: tuple[tuple[int, int], tuple[int, int]], size: int, rounds: int, count: int
) -> dict[str, object]:
    for port, _ in doors:
        await load(port, requests(f"warm-{port}-{size}", 1000, size))
    taken: tuple[list[Loaded], list[Loaded]] = ([], [])
    spent: tuple[list[float], list[float]] = ([], [])
    count //= SLICES
    for turn in range(rounds * SLICES):
        # Whoever goes first in one slice goes second in the next.
        for which in (0, 1) if turn % 2 else (1, 0):
            port, pid = doors[which]
            made = requests(f"sealing-{which}-{size}-{turn}", count, size)
            begun = ran_ns(pid)
            taken[which].append(await load(port, made))
            spent[which].append((ran_ns(pid) - begun) / count / 1e3)
    with_keys, without = ([one.per_second for one in side] for side in taken)
    return {
        f"{size} B: with keys per second": spread(with_keys, 0),
        f"{size} B: without per second": spread(without, 0),
        f"{size} B: ratio": ratios(with_keys, without),
        f"{size} B: CPU µs per request, with keys": spread(spent[0], 1),
        f"{size} B: CPU µs per request, without": spread(spent[1], 1),
        f"{size} B: CPU ratio (of no other process's doing)": ratios(spent[1], spent[0]),
        f"{size} B: p99 ratio": ratios([x.p99_ms for x in taken[0]], [x.p99_ms for x in taken[1]]),
    }
