"""End to end: 100 webhooks a second into the door, three processors, a sandbox without limits, rows.

When a row was there is asked of Postgres once all is over: the time of the commit that archived the fact, and
with it wrote the row. So nobody has to look on meanwhile.
"""

import asyncio
import statistics
import time
from pathlib import Path

import redis

from bench.fleet import Fleet, fleet, request, send
from bench.rig import BESIDE, CORES, KEYS, cpu_s, family_cpu_s, rss_mb, waited_ns

PER_SECOND = 100
PROCESSORS = 3
_AFTER_S = 5.0
_COMMITTED = """
SELECT EXTRACT(EPOCH FROM pg_xact_commit_timestamp(l.xmin) - w.received_at)::float8
FROM event_log l JOIN webhook_events w ON w.id = l.event_id
WHERE l.type = $1 AND w.lead_id <> 'warm'
"""
_WAITING = "SELECT count(*) FROM webhook_events WHERE status IN ('received', 'processing')"


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Times from acceptance to the row, what waits at the end, memory."""
    del rounds
    async with fleet(folder, PROCESSORS, TRIM_KEEP="0") as made:
        client = redis.Redis.from_url(made.redis_url)
        before = client.info("memory")["used_memory"]
        spent, waited, begun = _spent(made), _waited(made), time.monotonic()
        await send(made.port, [request(f"e2e-{n}") for n in range(count)], PER_SECOND)
        await asyncio.sleep(_AFTER_S)
        late = await made.conn.fetchval(_WAITING)
        pending = client.xpending(KEYS.webhooks, "processors")["pending"]
        stood_s = time.monotonic() - begun
        stood = {name: (now - waited[name]) / stood_s for name, now in _waited(made).items()}
        await made.ended(count + 1, 240)
        memory = client.info("memory")["used_memory"] - before
        entry = _bytes_of_an_entry(client)
        client.close()
        rows = [row[0] for row in await made.conn.fetch(_COMMITTED, "webhook_accepted")]
        ends = [row[0] for row in await made.conn.fetch(_COMMITTED, "lead_processed")]
        return {
            "webhooks": count,
            "cores": _cores(),
            "accept to row, p50 s": round(statistics.median(rows), 3),
            "accept to row, p99 s": _p99(rows),
            "accept to the row of its end, p50 s": round(statistics.median(ends), 3),
            "accept to the row of its end, p99 s": _p99(ends),
            "events without an end on record 5 s after": late,
            "entries pending 5 s after": pending,
            "Redis bytes per untrimmed entry of the streams": round(entry),
            "Redis bytes per webhook (all its entries and keys)": round(memory / count),
            **_rss(made),
            **_cpu(made, spent, count),
            **{
                f"{name}, share of the time that others had its core": round(s, 2)
                for name, s in stood.items()
            },
        }


def _bytes_of_an_entry(client: redis.Redis) -> float:
    """Of both streams together: a new lead is three entries, and its message and findings lie in the last."""
    streams = (KEYS.webhooks, KEYS.outcomes)
    return sum(client.memory_usage(key, samples=0) or 0 for key in streams) / sum(map(client.xlen, streams))


def _p99(times: list[float]) -> float:
    return round(statistics.quantiles(times, n=100)[98], 3)


def _rss(made: Fleet) -> dict[str, object]:
    return {f"{name} RSS MB": rss_mb(process.pid) for name, process in made.processes.items()}


def _spent(made: Fleet) -> dict[str, float]:
    """Seconds of processor time so far, of ours and of what they talk to."""
    ours = {name: cpu_s(process.pid) for name, process in made.processes.items()}
    return ours | {name: family_cpu_s(pid) for name, pid in made.servers.items()}


def _waited(made: Fleet) -> dict[str, float]:
    """Seconds that each of ours has waited for its core so far."""
    return {name: waited_ns(process.pid) / 1e9 for name, process in made.processes.items()}


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
