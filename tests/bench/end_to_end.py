"""End to end: 100 webhooks a second into the door, three processors, a sandbox without limits, rows.

The record is looked at every 100 ms, so that times to the row are at most that much too long.
"""

import asyncio
import statistics
import time
from pathlib import Path

import redis

from bench.fleet import Fleet, fleet, request, send, watched
from bench.rig import KEYS, cpu_s, rss_mb

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
        spent = {name: cpu_s(process.pid) for name, process in made.processes.items()}
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


def _cpu(made: Fleet, spent: dict[str, float], count: int) -> dict[str, object]:
    """Milliseconds of processor time per webhook, all processors together."""
    found = {name: cpu_s(process.pid) - spent[name] for name, process in made.processes.items()}
    processing = sum(seconds for name, seconds in found.items() if name.startswith("processor"))
    each = {"ingress": found["ingress"], "processors": processing, "projector": found["projector"]}
    return {f"{name}, CPU ms per webhook": round(s / count * 1000, 2) for name, s in each.items()}
