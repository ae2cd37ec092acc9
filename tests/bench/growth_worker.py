"""The cost of a step with a short and a long history: ``… -m bench.growth_worker ROUNDS EVENTS PLACE PLACE``.

A place is `name,redis pid,REDIS_URL,DATABASE_URL`. Every round takes the same webhooks through both places,
one after the other: appended, claimed, finished, projected. Prints each step's processor time as JSON: of
this process, of Redis and of the Postgres backend (whose first threads do the work), to the nanosecond.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import asyncpg
import uvloop

from bench.rig import KEYS, item, ran_ns
from ops.append import Appender
from ops.log import setup_logs
from ops.redis import Client, blocking_client, command_client
from ops.settings import Settings
from processor.store import LeadStore
from projections.projector import Projector, read_models
from schema.calls import Entry, Finishing, Lease
from schema.codec import PlainCodec
from schema.events import LeadProcessed

READ = 64  # as the engine does at most
INDEXES = """
SELECT DISTINCT c.relname AS table, a.attname AS column
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND i.indpred IS NULL
"""
Held = list[tuple[Entry, Lease]]
_run, _number = os.getpid(), count()


@dataclass(slots=True)
class Place:
    """A Redis and a database with a history, and what works on them."""

    name: str
    commands: Client
    reader: Client
    store: LeadStore
    door: Appender
    projector: Projector
    conn: asyncpg.Connection
    pids: tuple[int, int]
    found: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    async def closed(self) -> None:
        """Close all connections."""
        await self.projector.aclose()
        for client in (self.commands, self.reader):
            await client.aclose()
        await self.conn.close()

    async def _calls(self) -> int:
        stats = await self.commands.info("commandstats")
        return sum(row["calls"] for name, row in stats.items() if name != "cmdstat_info")

    @asynccontextmanager
    async def measured(self, step: str, events: int) -> AsyncIterator[None]:
        calls = await self._calls()
        gc.collect()  # else one step pays for what another left
        before, begun = [ran_ns(pid) for pid in self.pids], time.process_time_ns()
        yield
        ours = time.process_time_ns() - begun
        redis, postgres = (ran_ns(pid) - b for pid, b in zip(self.pids, before, strict=True))
        each = {"ours": ours, "redis": redis, "postgres": postgres, "calls": await self._calls() - calls}
        per_event = {name: value / events / (1 if name == "calls" else 1000) for name, value in each.items()}
        self.found.setdefault(step, []).append(per_event)

    async def round(self, events: int) -> None:
        now = datetime.now(UTC)
        items = [item(f"growth-{_run}-{next(_number)}", now) for _ in range(events)]
        async with self.measured("append", events):
            await self.door.append_all(items)
        async with self.measured("claim", events):
            held = await self._claimed(events)
        async with self.measured("finish", events):
            for start in range(0, events, READ):
                await asyncio.gather(*map(self.store.finish, _ends(held[start : start + READ])))
        async with self.measured("project", events):
            while await self.projector.poll_once(0):
                pass

    async def _claimed(self, events: int) -> Held:
        held: Held = []
        while len(held) < events:
            if not (entries := await self.store.read(READ, 1.0)):
                raise RuntimeError("what was appended was not there to be read")
            entered = await self.store.enter(entries, wake=False)
            held += [(e, got.lease) for e, got in zip(entries, entered, strict=True) if got.lease]
        return held


def _ends(held: Held) -> Iterator[Finishing]:
    for entry, lease in held:
        e = entry.event
        about = {"event_id": e.event_id, "lead_id": e.lead_id, "action": e.action}
        more = {"received_at": e.received_at, "attempt": 1, "fence": lease.fence, "instance": "growth"}
        yield Finishing(entry, lease, LeadProcessed(**about, **more, result="recorded"))


async def known(conn: asyncpg.Connection) -> None:
    """Let a backend see every index once, as one has that has been at work for long (where there is room)."""
    await conn.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    for table, column in await conn.fetch(INDEXES):
        await conn.execute(f"SELECT count({column}) FROM {table} WHERE {column} IS NOT NULL")
    await conn.execute("RESET enable_seqscan; RESET enable_bitmapscan")


async def opened(words: str) -> Place:
    name, redis_pid, redis_url, database_url = words.split(",")
    conn = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    await known(conn)
    commands, reader = command_client(redis_url), blocking_client(redis_url, block_s=1)
    settings = Settings(instance="growth")
    return Place(
        name,
        commands,
        reader,
        LeadStore(KEYS, commands, reader, settings),
        Appender(commands, partitions=1, dedup_ttl_s=settings.dedup_ttl_secs, instance="growth"),
        Projector(
            conn, reader, partitions=1, batch=settings.projector_batch, models=read_models(PlainCodec())
        ),
        conn,
        (int(redis_pid), conn.get_server_pid()),
    )


async def main(rounds: int, events: int, *words: str) -> None:
    places = [await opened(one) for one in words]
    for place in places:  # connections, scripts, plans
        await place.round(events)
        place.found.clear()
    for turn in range(rounds):
        for place in places if turn % 2 else reversed(places):
            await place.round(events)
    for place in places:
        await place.closed()
    print(json.dumps({place.name: place.found for place in places}), file=sys.stderr)


if __name__ == "__main__":
    gc.disable()
    setup_logs("warning", "json", service="bench", instance="growth")
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
