"""The projector beside plain COPY, in a process of its own: ``… -m bench.projection_worker ROUNDS EVENTS``.

Every round measures, one after the other on emptied tables: COPY of the streams' entries into `event_log`
alone; the projector over the same entries with archive, read models and index of subjects; COPY of the rows
they make into `webhook_events`; the upsert of the same rows. Prints seconds and processor time as JSON.
"""

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path

import asyncpg
import uvloop

from ops.lifecycle import settle_gc
from ops.log import setup_logs
from ops.redis import Client, blocking_client
from ops.settings import Settings
from projections import archive, webhook_events
from projections.batch import Fact
from projections.projector import Projector, read_models
from projections.rows import fold
from scale.generator import facts, now
from schema.codec import PlainCodec
from schema.keys import Keys

KEYS = Keys(0)
COPIED = 10_000  # rows in one COPY
EMPTY = (
    "TRUNCATE webhook_events, event_log, projection_checkpoints, people, lead_people, lead_state, attempts,"
    " webhook_duplicates, dead_letters, subjects, subject_index, subject_leads"
)


class Meter:
    """Seconds and processor time, ours and the server's, of what runs inside `measured`."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._server = Path(f"/proc/{conn.get_server_pid()}/schedstat")
        self.found: dict[str, list[dict[str, float]]] = {}

    @asynccontextmanager
    async def measured(self, name: str, entries: int) -> AsyncIterator[None]:
        before, begun = self._cpu(), time.perf_counter()
        yield
        took = time.perf_counter() - begun
        ours, server = (after - b for after, b in zip(self._cpu(), before, strict=True))
        each = {"entries": entries, "seconds": took, "ours_s": ours, "server_s": server}
        self.found.setdefault(name, []).append(each)

    def _cpu(self) -> tuple[float, float]:
        return time.process_time(), int(self._server.read_text().split()[0]) / 1e9


async def put(redis: Client, some: list[Fact]) -> None:
    """The facts into the streams, under their own ids."""
    left = iter(some)
    while chunk := list(islice(left, 1_000)):
        async with redis.pipeline(transaction=False) as pipe:
            for fact in chunk:
                key = KEYS.webhooks if fact.stream == "webhooks" else KEYS.outcomes
                pipe.xadd(key, fact.fields, id=fact.entry_id)
            await pipe.execute()


async def copied(
    conn: asyncpg.Connection, table: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]
) -> None:
    for start in range(0, len(rows), COPIED):
        await conn.copy_records_to_table(table, records=rows[start : start + COPIED], columns=columns)


async def main(rounds: int, events: int) -> None:
    conn = await asyncpg.connect(os.environ["DATABASE_URL"], server_settings={"timezone": "UTC"})
    redis = blocking_client(os.environ["REDIS_URL"], block_s=1)
    batch = Settings().projector_batch
    some = list(facts(events, now() - timedelta(hours=1), now()))
    await redis.flushall()
    await put(redis, some)
    entries = [archive.row_of(fact) for fact in some]
    rows = fold(fact for fact in some if fact.stream == "webhooks")
    tuples = [webhook_events.row_of(row) for row in rows]
    meter = Meter(conn)
    settle_gc()  # as a service does
    for _ in range(rounds):
        await conn.execute(EMPTY)
        async with meter.measured("copy_log", len(entries)):
            await copied(conn, "event_log", archive.COPY.columns, entries)
        await conn.execute(EMPTY)
        made = Projector(conn, redis, partitions=1, batch=batch, models=read_models(PlainCodec()))
        async with meter.measured("project", len(entries)):
            while await made.poll_once(0):
                pass
        await conn.execute(EMPTY)
        async with meter.measured("copy_rows", len(tuples)):
            await copied(conn, "webhook_events", webhook_events.COPY.columns, tuples)
        await conn.execute(EMPTY)
        async with meter.measured("upsert", len(rows)):
            for start in range(0, len(rows), batch):
                async with conn.transaction():
                    await webhook_events.write(conn, rows[start : start + batch])
    print(json.dumps(meter.found), file=sys.stderr)
    await redis.aclose()
    await conn.close()


if __name__ == "__main__":
    setup_logs("warning", "json", service="projector", instance="bench")
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
