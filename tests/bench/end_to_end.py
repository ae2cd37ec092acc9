"""End to end: 100 webhooks a second into the door, three processors, a sandbox without limits, rows.

The record is looked at every 100 ms, so that times to the row are at most that much too long.
"""

import asyncio
import statistics
import time
from pathlib import Path

import redis

from bench.fleet import Fleet, fleet, request, send, watched
from bench.rig import BESIDE, CORES, KEYS, cpu_s, family_cpu_s, rss_mb

PER_SECOND = 100
PROCESSORS = 3
_LOOK_S = 0.1
_AFTER_S = 5.0
_RECENT = """
SELECT id, status, EXTRACT(EPOCH FROM clock_timestamp() - received_at)::float8 AS age_s
FROM webhook_events WHERE received_at > NOW() - INTERVAL '15 s'
"""
_WAITING = "SELECT count(*) FROM webhook_events WHERE status IN ('received', 'processing')"


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Times from acceptance to the row, what waits at the end, memory."""
    del rounds
    async with fleet(folder, PROCESSORS, TRIM_KEEP="0") as made:
        client = redis.Redis.from_url(made.redis_url)
        before = client.info("memory")["used_memory"]
        spent = _spent(made)
        rows: dict[str, float] = {}
        ends: dict[str, float] = {}
        late: list[int] = []

        async def look() -> None:
            for row in await made.conn.fetch(_RECENT):
                rows.setdefault(row["id"], row["age_s"])
                if row["status"] == "success":
                    ends.setdefault(row["id"], row["age_s"])

        sending = asyncio.create_task(
            send(made.port, [request(f"e2e-{n}") for n in range(count)], PER_SECOND)
        )
        await watched(sending.done, look, _LOOK_S)
        await sending
        over = time.monotonic() + _AFTER_S
        await watched(lambda: time.monotonic() > over, look, _LOOK_S)
        late.append(await made.conn.fetchval(_WAITING))
        late.append(client.xpending(KEYS.webhooks, "processors")["pending"])
        await made.ended(count + 1, 120)
        memory = client.info("memory")["used_memory"] - before
        client.close()
        return {
            "webhooks": count,
            "cores": _cores(),
            "accept to row, p50 s": round(statistics.median(rows.values()), 3),
            "accept to row, p99 s": _p99(rows),
            "accept to the row of its end, p50 s": round(statistics.median(ends.values()), 3),
            "accept to the row of its end, p99 s": _p99(ends),
            "events without an end on record 5 s after": late[0],
            "entries pending 5 s after": late[1],
            "Redis bytes per untrimmed event (all its entries and keys)": round(memory / count),
            **_rss(made),
            **_cpu(made, spent, count),
        }


def _p99(times: dict[str, float]) -> float:
    return round(statistics.quantiles(times.values(), n=100)[98], 3)


def _rss(made: Fleet) -> dict[str, object]:
    return {f"{name} RSS MB": rss_mb(process.pid) for name, process in made.processes.items()}


def _spent(made: Fleet) -> dict[str, float]:
    """Seconds of processor time so far, of ours and of what they talk to."""
    ours = {name: cpu_s(process.pid) for name, process in made.processes.items()}
    return ours | {name: family_cpu_s(pid) for name, pid in made.servers.items()}


def _cpu(made: Fleet, before: dict[str, float], count: int) -> dict[str, object]:
    """Milliseconds of processor time per webhook of each process, and of the processors together."""
    each = {name: (now - before[name]) / count * 1000 for name, now in _spent(made).items()}
    each["all processors"] = sum(ms for name, ms in each.items() if name.startswith("processor-"))
    return {f"{name}, CPU ms per webhook": round(ms, 2) for name, ms in each.items()}


def _cores() -> str:
    if len(CORES) == 1:
        return "all on one"
    rest = "door and projector on 1 with" if BESIDE == 1 else f"door and projector on {BESIDE}, on 1"
    return f"processors on 0, {rest} Redis, Postgres, sandbox and load"
