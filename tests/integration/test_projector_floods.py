"""Many facts at once: read ahead, cut at a moment, and copied; the rows are the same as one by one."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import asyncpg
import pytest
from support_facts import KEYS, Stamped, World
from support_record import EMPTY

from ops.redis import Client, blocking_client
from projections.batch import Fact
from projections.checkpoint import START
from projections.copying import MANY
from projections.projector import Projector, read_models
from projections.reading import ReadAhead, decoded
from schema.codec import PlainCodec
from schema.events import WebhookAccepted, encode

TABLES = {
    "webhook_events": "SELECT * FROM webhook_events ORDER BY id",
    "webhook_duplicates": "SELECT * FROM webhook_duplicates ORDER BY entry_id",
    "attempts": "SELECT * FROM attempts ORDER BY event_id, fence",
    "lead_state": "SELECT * FROM lead_state ORDER BY lead_id",
    "dead_letters": "SELECT * FROM dead_letters ORDER BY event_id",
    "people": "SELECT cpf, name, profile, updated_at FROM people ORDER BY cpf",
    "event_log": "SELECT * FROM event_log ORDER BY stream, entry_id",
}
FEW = MANY // 2 - 1  # in a batch of so many nothing is copied
WORLDS = 60


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    await client.flushall()
    yield client
    await client.aclose()


def flood() -> list[Stamped]:
    """What befell the leads of many small worlds, one world after the other."""
    found: list[Stamped] = []
    for number in range(WORLDS):
        found += World(number, f"W{number}-", start_ms=number * 1_000).entries
    return found


async def put(redis: Client, entries: Sequence[Stamped]) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        for stream, entry_id, event in entries:
            pipe.xadd(stream, encode(event), id=entry_id)
        await pipe.execute()


async def drain(db: asyncpg.Connection, redis: Client, batch: int) -> None:
    made = Projector(db, redis, partitions=1, batch=batch, models=read_models(PlainCodec()))
    while await made.poll_once(0):
        pass


async def tables(db: asyncpg.Connection) -> dict[str, list[dict]]:
    return {name: [dict(row) for row in await db.fetch(query)] for name, query in TABLES.items()}


async def test_copied_rows_are_the_rows_that_single_facts_make(db, redis):
    """All at once, in a few batches (many rows are known to the next), and again from the beginning."""
    entries = flood()
    await put(redis, entries)
    await drain(db, redis, FEW)
    expected = await tables(db)
    assert len(expected["webhook_events"]) > 2 * MANY
    for batch in (100_000, 300):
        await db.execute(EMPTY)
        await drain(db, redis, batch)
        assert await tables(db) == expected, f"batches of {batch}"
        await db.execute("TRUNCATE projection_checkpoints")
        await drain(db, redis, batch)
        assert await tables(db) == expected, f"again, batches of {batch}"


async def test_rows_of_which_some_are_known_are_not_copied(db, redis):
    """An event, an attempt and a lead in the way of a COPY: the batch is written row by row, and whole."""
    entries = flood()
    await put(redis, entries)
    await drain(db, redis, 100_000)
    expected = await tables(db)
    # As if one half of the rows had been written by somebody, and the checkpoint not.
    await db.execute("TRUNCATE projection_checkpoints, event_log, dead_letters")
    for table in ("webhook_events", "attempts", "lead_state"):
        await db.execute(f"DELETE FROM {table} WHERE md5({table}::text) < '8'")  # noqa: S608 -- our own names
    await drain(db, redis, 100_000)
    got = await tables(db)
    for name in ("attempts", "lead_state", "dead_letters", "event_log"):
        assert got[name] == expected[name], name
    assert [row["status"] for row in got["webhook_events"]] == [
        row["status"] for row in expected["webhook_events"]
    ]


async def test_a_payload_that_jsonb_refuses_costs_only_itself_among_many(db, redis):
    """Its row has no payload, and all the others of the COPY have theirs."""
    entries = [e for e in flood() if isinstance(e[2], WebhookAccepted)]
    stream, entry_id, event = entries[MANY]
    await put(redis, entries[:MANY])
    await redis.xadd(stream, encode(event) | {"payload": '{"a":"\\ud800"}'}, id=entry_id)
    await put(redis, entries[MANY + 1 : 2 * MANY])
    await drain(db, redis, 100_000)
    rows = await db.fetch("SELECT id::text FROM webhook_events WHERE raw_payload IS NULL")
    assert [row["id"] for row in rows] == [event.event_id]


async def test_an_alien_entry_among_many_is_copied_with_them(db, redis):
    """The archive has it as it stood, and all the others as ever."""
    entries = [e for e in flood() if isinstance(e[2], WebhookAccepted)]
    stream, entry_id, _ = entries[MANY]
    await put(redis, entries[:MANY])
    await redis.xadd(stream, {"some": "thing"}, id=entry_id)
    await put(redis, entries[MANY + 1 : 2 * MANY])
    await drain(db, redis, 100_000)
    rows = await db.fetch("SELECT type, count(*) AS number FROM event_log GROUP BY type ORDER BY type")
    assert [tuple(row) for row in rows] == [("undecodable", 1), ("webhook_accepted", 2 * MANY - 1)]
    fields = await db.fetchval(
        "SELECT fields FROM event_log WHERE entry_id = $1 AND event_id IS NULL", entry_id
    )
    assert fields == '{"some": "thing"}'


async def test_a_table_that_was_seen_empty_is_not_read_whole(db, redis):
    """Statistics of an empty table make the planner read it whole for each row asked for: here it may not."""
    read = "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY($1::text[])"
    asked = [*TABLES, "lead_people", "subjects", "subject_index", "subject_leads", "erased_events"]

    async def rows_read() -> dict[str, int]:
        await db.execute("SELECT pg_stat_force_next_flush()")
        return {row["relname"]: row["seq_tup_read"] for row in await db.fetch(read, asked)}

    await put(redis, flood())
    await db.execute("VACUUM ANALYZE")
    before = await rows_read()
    await drain(db, redis, 200)
    assert await rows_read() == before


async def batches(redis: Client, most: int) -> list[list[Fact]]:
    """Everything, as it is given out; the checkpoints are never asked for."""
    reader = ReadAhead(redis, partitions=1, batch=most)
    reader.start({})
    found = []
    while True:
        await reader.fill(0)
        if not (facts := decoded(reader.take())):
            return found
        found.append(facts)
        reader.took(0)


@pytest.mark.parametrize("most", [1, 2, 30, 400])
async def test_a_batch_ends_at_a_moment(redis, most):
    """No batch is too large, and none holds a fact that is later than one that is still to come."""
    entries = flood()
    await put(redis, entries)
    found = await batches(redis, most)
    assert sorted(f.entry_id for b in found for f in b) == sorted(entry_id for _, entry_id, _ in entries)
    assert all(len(batch) <= max(most, 2) for batch in found)
    for batch, following in pairwise(found):
        assert max(fact.ms for fact in batch) <= min(fact.ms for fact in following)


async def test_each_stream_stays_in_its_order(redis):
    """Whatever is taken together, a stream's entries come as they stand in it."""
    entries = flood()
    await put(redis, entries)
    found = [fact for batch in await batches(redis, 50) for fact in batch]
    for name, key in (("webhooks", KEYS.webhooks), ("outcomes", KEYS.outcomes)):
        assert [f.entry_id for f in found if f.stream == name] == [e for s, e, _ in entries if s == key]


async def test_batches_grow_while_entries_are_small_and_shrink_when_a_batch_takes_long(redis):
    """The first read is of few entries; each that brings as many as asked for is followed by one of more."""
    await put(redis, flood())
    reader = ReadAhead(redis, partitions=1, batch=100_000)
    reader.start({(0, "webhooks"): START})
    sizes = []
    for seconds in (0.0, 0.0, 0.0, 60.0, 0.0):
        await reader.fill(0)
        sizes.append(sum(fact.stream == "outcomes" for fact in decoded(reader.take())))
        reader.took(seconds)
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[4] < sizes[3]


async def test_large_payloads_make_small_batches(redis):
    """What is held at a time is bounded in bytes, too."""
    large = {"payload": '{"a":"%s"}' % ("x" * 200_000)}
    webhooks = [e for e in flood() if isinstance(e[2], WebhookAccepted)][:60]
    async with redis.pipeline(transaction=False) as pipe:
        for stream, entry_id, event in webhooks:
            pipe.xadd(stream, encode(event) | large, id=entry_id)
        await pipe.execute()
    assert max(len(batch) for batch in await batches(redis, 100_000)) <= 10
