"""The door beside a bare aiohttp handler, interleaved; everything on, as configured by default."""

from collections.abc import Sequence
from pathlib import Path

import redis

from bench.figures import ratios, spread
from bench.http_load import Loaded, load, post
from bench.rig import NO_POSTGRES, SECRET, answers, body, cpu_s, python, redis_server, rss_mb
from ops.dev.ports import free_port
from ops.sign import sign

PATH = "/api/v1/webhook/leads"
SIZES = (200, 2000)


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Requests per second, latencies, calls of the append script, memory."""
    ours, bare = free_port(), free_port()
    with redis_server(folder) as server:
        env = {
            "REDIS_URL": server.url,
            "DATABASE_URL": NO_POSTGRES,
            "C2S_WEBHOOK_SECRET": SECRET,
            "HOST": "127.0.0.1",
            "PORT": str(ours),
            "LOG_FORMAT": "json",
        }
        with (
            python("-m", "ingress", **env) as door,
            python("-m", "bench.bare_door", str(bare)) as bare_door,
        ):
            answers(ours)
            answers(bare)
            found: dict[str, object] = {}
            for size in SIZES:
                pairs = ((ours, door.pid), (bare, bare_door.pid))
                found |= await _compared(server.url, pairs, size, rounds, count)
            lone = await load(ours, requests("lone", 1000, 200), connections=1)
            floor = await load(bare, requests("lone-bare", 1000, 200), connections=1)
            found["lone request p50 ms, ours"] = round(lone.p50_ms, 3)
            found["lone request p50 ms, bare"] = round(floor.p50_ms, 3)
            found["ingress RSS MB"] = rss_mb(door.pid)
    return found


async def _compared(
    url: str, doors: Sequence[tuple[int, int]], size: int, rounds: int, count: int
) -> dict[str, object]:
    (ours, pid), (bare, bare_pid) = doors
    for name, port in (("warm", ours), ("warm-bare", bare)):
        await load(port, requests(f"{name}-{size}", 1000, size))
    client = redis.Redis.from_url(url)
    door: list[Loaded] = []
    floor: list[Loaded] = []
    spent: list[float] = []
    floor_spent: list[float] = []
    before = _appends(client)
    for turn in range(rounds):
        begun = cpu_s(pid), cpu_s(bare_pid)
        door.append(await load(ours, requests(f"ours-{size}-{turn}", count, size)))
        floor.append(await load(bare, requests(f"bare-{size}-{turn}", count, size)))
        spent.append((cpu_s(pid) - begun[0]) / count * 1e6)
        floor_spent.append((cpu_s(bare_pid) - begun[1]) / count * 1e6)
    calls = _appends(client) - before
    client.flushall()  # the next size finds the same small Redis
    client.close()
    at = f"{size} B"
    return {
        f"{at}: ours per second": spread([x.per_second for x in door], 0),
        f"{at}: bare per second": spread([x.per_second for x in floor], 0),
        f"{at}: ratio": ratios([x.per_second for x in door], [x.per_second for x in floor]),
        f"{at}: CPU µs per request, ours": spread(spent, 1),
        f"{at}: CPU µs per request, bare": spread(floor_spent, 1),
        f"{at}: CPU ratio (of no other process's doing)": ratios(floor_spent, spent),
        f"{at}: p99 ratio": ratios([x.p99_ms for x in door], [x.p99_ms for x in floor]),
        f"{at}: append calls per webhook": round(calls / (rounds * count), 3),
    }


def _appends(client: redis.Redis) -> int:
    return client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)


def requests(name: str, count: int, size: int) -> list[bytes]:
    made = []
    for n in range(count):
        raw = body(f"{name}-{n}", size)
        made.append(post(PATH, raw, **{"X-C2S-Signature": sign(SECRET, raw)}))
    return made
