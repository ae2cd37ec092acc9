"""The door beside a bare aiohttp handler, interleaved; everything on, as configured by default."""

from pathlib import Path

import redis

from bench.figures import ratios, spread
from bench.http_load import Loaded, load, post
from bench.rig import NO_POSTGRES, SECRET, answers, body, python, redis_server, rss_mb
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
        with python("-m", "ingress", **env) as door, python("-m", "bench.bare_door", str(bare)):
            answers(ours)
            answers(bare)
            found: dict[str, object] = {}
            for size in SIZES:
                found |= await _compared(server.url, (ours, bare), size, rounds, count)
            lone = await load(ours, _requests("lone", 1000, 200), connections=1)
            floor = await load(bare, _requests("lone-bare", 1000, 200), connections=1)
            found["lone request p50 ms, ours"] = round(lone.p50_ms, 3)
            found["lone request p50 ms, bare"] = round(floor.p50_ms, 3)
            found["ingress RSS MB"] = rss_mb(door.pid)
    return found


async def _compared(
    url: str, ports: tuple[int, int], size: int, rounds: int, count: int
) -> dict[str, object]:
    ours, bare = ports
    for name, port in (("warm", ours), ("warm-bare", bare)):
        await load(port, _requests(f"{name}-{size}", 1000, size))
    client = redis.Redis.from_url(url)
    door: list[Loaded] = []
    floor: list[Loaded] = []
    before = _appends(client)
    for turn in range(rounds):
        door.append(await load(ours, _requests(f"ours-{size}-{turn}", count, size)))
        floor.append(await load(bare, _requests(f"bare-{size}-{turn}", count, size)))
    calls = _appends(client) - before
    client.close()
    at = f"{size} B"
    return {
        f"{at}: ours per second": spread([x.per_second for x in door], 0),
        f"{at}: bare per second": spread([x.per_second for x in floor], 0),
        f"{at}: ratio": ratios([x.per_second for x in door], [x.per_second for x in floor]),
        f"{at}: p99 ratio": ratios([x.p99_ms for x in door], [x.p99_ms for x in floor]),
        f"{at}: append calls per webhook": round(calls / (rounds * count), 3),
    }


def _appends(client: redis.Redis) -> int:
    return client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)


def _requests(name: str, count: int, size: int) -> list[bytes]:
    made = []
    for n in range(count):
        raw = body(f"{name}-{n}", size)
        made.append(post(PATH, raw, **{"X-C2S-Signature": sign(SECRET, raw)}))
    return made
