"""What a webhook costs with a short and with a long history behind it, interleaved.

Nothing of the history is trimmed: dedup keys, both streams and all tables of the record hold all of it. The
record is measured twice: with buffers that have room for its indexes, and with the 64 MB of the wheel's
server, which then reads most of what it needs from the kernel's cache.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from bench.figures import spread
from bench.growth_fill import fill_record, fill_streams
from bench.rig import pin, postgres_server, redis_server, told
from ops.migrate import migrate
from ops.redis import blocking_client

SMALL = 10_000
EVENTS = 1_000  # in a round
STEPS = ("append", "claim", "finish", "project")
PROCESSES = ("ours", "redis", "postgres")
TITLES = {
    "ours": "CPU us, ours",
    "redis": "CPU us, Redis",
    "postgres": "CPU us, Postgres",
    "calls": "commands, those inside of scripts too",
}
LEAST = 0.1  # what is less takes no part
LEAST_ROUNDS = 5
BUFFERS = "1GB"  # of Postgres: room for the indexes of a million webhooks
Measured = dict[str, list[dict[str, float]]]


async def run(folder: Path, rounds: int, count: int, small: int = SMALL) -> dict[str, object]:
    """Processor time and commands of each step, with ``small`` and with ``count`` webhooks stored."""
    sizes = {f"{size:,}": size for size in (small, max(small, count // small * small))}
    with (
        redis_server(folder / "short") as short,
        redis_server(folder / "long") as long,
        postgres_server(folder) as postgres,
    ):
        places, taken, filled = [], [], time.perf_counter()
        for number, ((name, size), redis) in enumerate(zip(sizes.items(), (short, long), strict=True)):
            database, used = await _filled(postgres.url, f"growth_{number}", redis.url, size, small)
            places.append(f"{name.replace(',', ' ')},{redis.pid},{redis.url},{database}")
            taken.append(used)
        filled = time.perf_counter() - filled
        words = ("-m", "bench.growth_worker", str(max(rounds, LEAST_ROUNDS)), str(EVENTS), *places)
        tight: dict[str, Measured] = json.loads(await asyncio.to_thread(told, *words))
        postgres.stop()
        postgres.settings["shared_buffers"] = BUFFERS
        postgres.start()
        pin(postgres.pid, 1)
        roomy: dict[str, Measured] = json.loads(await asyncio.to_thread(told, *words))
    return {
        "webhooks stored": " and ".join(sizes),
        **_compared(*roomy.values(), STEPS),
        **{
            f"{name} (64 MB of buffers)": value
            for name, value in _compared(*tight.values(), STEPS[-1:]).items()
        },
        "bytes per webhook, Postgres": _more(*(used["postgres"] for used in taken), *sizes.values()),
        "bytes per webhook, Redis (untrimmed, no message)": _more(
            *(u["redis"] for u in taken), *sizes.values()
        ),
        "seconds to fill": round(filled),
    }


async def _filled(url: str, name: str, redis_url: str, size: int, base: int) -> tuple[str, dict[str, int]]:
    """The database's URL, and the bytes that the history takes."""
    conn = await asyncpg.connect(url)
    await conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    await conn.close()
    database = f"{url.rpartition('/')[0]}/{name}"
    await migrate(database)
    conn = await asyncpg.connect(database, server_settings={"timezone": "UTC"})
    redis = blocking_client(redis_url, block_s=120)
    await fill_record(conn, redis, size, base)
    await fill_streams(conn, redis, size, base)
    taken: dict[str, int] = {
        "postgres": await conn.fetchval("SELECT pg_database_size(current_database())"),
        "redis": (await redis.info("memory"))["used_memory"],
    }
    await redis.aclose()
    await conn.close()
    return database, taken


def _more(before: int, after: int, small: int, large: int) -> int:
    """Bytes that one webhook more takes; 0 where both histories are the same."""
    return round((after - before) / max(1, large - small))


def _compared(short: Measured, long: Measured, steps: Sequence[str]) -> dict[str, object]:
    made: dict[str, object] = {}
    for step in steps:
        pairs = list(zip(short[step], long[step], strict=True))
        made[f"{step}: CPU of all, long beside short"] = spread([_all(b) / _all(a) for a, b in pairs])
        for name in (*PROCESSES, "calls"):
            before, after = (
                statistics.median(one[name] for one in side) for side in zip(*pairs, strict=True)
            )
            if max(before, after) > LEAST:
                made[f"{step}: {TITLES[name]}"] = f"{before:.1f} -> {after:.1f}"
    return made


def _all(one: dict[str, float]) -> float:
    return sum(one[process] for process in PROCESSES)
