"""The record beside plain COPY: the projector with everything it writes, and the upsert of rows by itself."""

import asyncio
import json
from pathlib import Path

from bench.figures import ratios, spread
from bench.rig import postgres_server, redis_server, told
from ops.migrate import migrate

Measured = list[dict[str, float]]


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Entries and rows per second beside COPY of the same, and processor time per entry."""
    with redis_server(folder) as redis, postgres_server(folder) as postgres:
        await migrate(postgres.url)
        words = ("-m", "bench.projection_worker", str(rounds), str(count))
        env = {"REDIS_URL": redis.url, "DATABASE_URL": postgres.url}
        found: dict[str, Measured] = json.loads(await asyncio.to_thread(told, *words, **env))
    ours, floor = found["project"], found["copy_log"]
    upsert, copy = found["upsert"], found["copy_rows"]
    return {
        "entries in a round": round(ours[0]["entries"]),
        "COPY into event_log, entries per second": spread(_rates(floor), 0),
        "projector with everything, entries per second": spread(_rates(ours), 0),
        "ratio to COPY into event_log": ratios(_rates(ours), _rates(floor)),
        "CPU us per entry, projector": spread(_cpu_us(ours, "ours_s"), 1),
        "CPU us per entry, Postgres": spread(_cpu_us(ours, "server_s"), 1),
        "CPU us per entry, COPY in Postgres": spread(_cpu_us(floor, "server_s"), 1),
        "COPY into webhook_events, rows per second": spread(_rates(copy), 0),
        "upsert, rows per second": spread(_rates(upsert), 0),
        "ratio to COPY into webhook_events": ratios(_rates(upsert), _rates(copy)),
        "CPU us per row, upsert in Postgres": spread(_cpu_us(upsert, "server_s"), 1),
        "CPU us per row, COPY in Postgres": spread(_cpu_us(copy, "server_s"), 1),
    }


def _rates(measured: Measured) -> list[float]:
    return [each["entries"] / each["seconds"] for each in measured]


def _cpu_us(measured: Measured, whose: str) -> list[float]:
    return [each[whose] / each["entries"] * 1e6 for each in measured]
