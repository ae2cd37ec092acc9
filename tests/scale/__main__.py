"""``make scale``: a million synthetic webhooks in the record; how fast it is written, asked and rebuilt.

Real servers from the wheels, in a directory of their own, deleted afterwards. Prints each figure as it comes
and writes all of them as JSON to ``bench-results/``; at the end it says what holds of what must (exit code 1
where something does not). Nothing here is a test: figures depend on the machine.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, takewhile
from pathlib import Path

import asyncpg
import structlog
from support_waiting import until

from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis
from ops.migrate import migrate
from ops.redis import Client, blocking_client
from projections import archive
from projections.batch import Fact
from scale.asked import questions
from scale.generator import facts, now
from scale.streams import KEYS, Figures, batched, put, streams
from scale.verdicts import verdicts
from schema.keys import GROUP

LOG_COLUMNS = (
    *("recorded_at", "partition", "stream", "entry_id", "type"),
    *("event_id", "lead_id", "hook_action", "fields", "payload"),
)
ARCHIVED = "SELECT count(*) FROM event_log"
A_MILLION = 1_000_000  # entries
PER_WEBHOOK = 3.21  # of them, on average


def say(name: str, value: object) -> None:
    print(f"{name}: {json.dumps(value)}", flush=True)


async def history(conn: asyncpg.Connection, some: Iterable[Fact]) -> Figures:
    """Facts copied into the archive alone, as if they had been projected long ago."""
    begun, number = time.perf_counter(), 0
    for chunk in batched(some, 20_000):
        rows = [archive.row_of(fact) for fact in chunk]
        await conn.copy_records_to_table("event_log", records=rows, columns=LOG_COLUMNS)
        number += len(rows)
    took = time.perf_counter() - begun
    return {"entries": number, "copied_per_second": round(number / took)}


def rebuild(env: dict[str, str], *words: str) -> Figures:
    """`c2s rebuild` as an operator runs it."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "projections.rebuild", "--json", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    found: Figures = json.loads(done.stdout)
    found["tables"] = {name: table["rows"] for name, table in found["tables"].items()}
    found["examples"] = found["examples"][:3]
    return found | {"seconds": round(time.perf_counter() - begun, 1)}


def cpu_ms(pid: int) -> float:
    """CPU that a process has used: unlike time, it does not count what others on the machine took."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * 1000 / os.sysconf("SC_CLK_TCK")


async def ask(conn: asyncpg.Connection) -> Figures:
    """Milliseconds of every named query and view, warm: median of seven, and the server's own CPU."""
    pid, found = conn.get_server_pid(), {}
    for name, (text, arguments) in (await questions(conn)).items():
        prepared = await conn.prepare(text)
        rows = await prepared.fetch(*arguments)
        times = []
        for _ in range(7):
            begun = time.perf_counter()
            await prepared.fetch(*arguments)
            times.append((time.perf_counter() - begun) * 1000)
        await conn.execute("SET max_parallel_workers_per_gather TO 0")  # all of the CPU is this backend's
        prepared, before = await conn.prepare(text), cpu_ms(pid)
        for _ in range(7):
            await prepared.fetch(*arguments)
        cpu = (cpu_ms(pid) - before) / 7
        await conn.execute("RESET max_parallel_workers_per_gather")
        found[name] = {"ms": round(statistics.median(times), 1), "cpu_ms": round(cpu, 1), "rows": len(rows)}
    return found


async def filled(conn: asyncpg.Connection, env: dict[str, str]) -> Figures:
    """The tables made from the archive, and what the server's planner knows of both."""
    await conn.execute("VACUUM ANALYZE event_log")
    report = await asyncio.to_thread(rebuild, env)
    await conn.execute("VACUUM ANALYZE")
    return report


async def beside_traffic(
    conn: asyncpg.Connection, redis: Client, env: dict[str, str], per_second: int
) -> Figures:
    """A swap while webhooks arrive and a projector of its own process writes; what is missing; a check.

    Payloads stay: a projector that meets two months of them at once would be busy with dropping them.
    """
    before = await conn.fetchval(ARCHIVED)
    projector = subprocess.Popen(  # noqa: ASYNC220 -- started once
        [sys.executable, "-m", "projections"], env={**env, "LOG_LEVEL": "error", "RAW_RETENTION_HOURS": "0"}
    )
    source = facts(1_000_000, now(), now() + timedelta(seconds=1_000_000 / per_second), seed=3)
    arrived, done = 0, asyncio.Event()

    async def arrive() -> None:
        nonlocal arrived
        begun = time.perf_counter()
        for chunk in batched(source, max(1, per_second * 3 // 10)):  # about 3.3 facts each
            arrived += await put(redis, chunk)
            if done.is_set():
                return
            ahead = arrived / (per_second * 3.3) - (time.perf_counter() - begun)
            await asyncio.sleep(max(0.0, ahead))

    async def swap() -> Figures:
        try:
            return await asyncio.to_thread(rebuild, env)
        finally:
            done.set()

    try:
        _, swapped = await asyncio.gather(arrive(), swap())
        with suppress(TimeoutError):
            await until(lambda: conn.fetchval(ARCHIVED), lambda n: n == before + arrived, 120)
        missing = before + arrived - await conn.fetchval(ARCHIVED)
        checked = await asyncio.to_thread(rebuild, env, "--check")
    finally:
        projector.send_signal(signal.SIGTERM)
        projector.wait(20)
    return {"arrived": arrived, "missing": missing, "swap": swapped, "check_afterwards": checked}


async def run(words: argparse.Namespace, redis_url: str, database_url: str) -> Figures:
    found: Figures = {"webhooks": words.events, "cores": os.cpu_count(), "at": datetime.now(UTC).isoformat()}
    env = {**os.environ, "REDIS_URL": redis_url, "DATABASE_URL": database_url, "INSTANCE": "scale"}

    def note(name: str, value: Figures) -> None:
        found[name] = value
        say(name, value)

    await migrate(database_url)
    conn = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    redis = blocking_client(redis_url, block_s=1)
    await redis.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    end = now()
    begin = end - timedelta(days=words.days)
    await conn.execute("SELECT ensure_event_log_partitions($1, $2)", begin, words.days // 28 + 1)
    # The latest million entries first: most questions are about the last day.
    part = min(1.0, A_MILLION / PER_WEBHOOK / max(words.events, 1))
    cut_ms = (end - (end - begin) * part).timestamp() * 1000

    def is_older(fact: Fact) -> bool:
        return int(fact.entry_id.partition("-")[0]) < cut_ms

    note("a_million", await history(conn, dropwhile(is_older, facts(words.events, begin, end))))
    note("filled_with_a_million", await filled(conn, env))
    note("queries_ms_of_a_million", await ask(conn))
    note("history", await history(conn, takewhile(is_older, facts(words.events, begin, end))))
    note("filled", await filled(conn, env))
    note("queries_ms", await ask(conn))
    note("check", await asyncio.to_thread(rebuild, env, "--check"))
    note("streams", await streams(conn, redis, words.streamed))
    note("beside_traffic", await beside_traffic(conn, redis, env, words.rate))
    await redis.aclose()
    await conn.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="make scale")
    parser.add_argument("--events", type=int, default=1_000_000, help="webhooks in the history")
    parser.add_argument("--days", type=int, default=60, help="over how many days")
    parser.add_argument("--streamed", type=int, default=200_000, help="webhooks through the streams")
    parser.add_argument(
        "--rate", type=int, default=50, help="webhooks a second while the tables are exchanged"
    )
    words = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="c2s-scale-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", fsync=False)
        try:
            with postgres, EmbeddedRedis(Path(folder) / "redis") as server:
                found = asyncio.run(run(words, server.url, postgres.url))
        finally:
            postgres.delete()
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    path = results / f"scale-{found['webhooks']}.json"
    path.write_text(json.dumps(found, indent=2), encoding="utf-8")
    print(f"written to {path}")
    judged = list(verdicts(found, words.rate))
    print(*judged, sep="\n")
    sys.exit(0 if all(verdict.holds for verdict in judged) else 1)


if __name__ == "__main__":
    main()
