"""The rows follow from the facts alone, not from how streams are cut into batches or which comes first."""

import random
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from support_facts import KEYS, Stamped, World
from support_record import EMPTY

from ops.persons import Persons
from ops.redis import Client, blocking_client
from ops.seal import SealingCodec
from ops.subjects import Hashes, named
from projections.projector import Projector, read_models
from schema.codec import PlainCodec
from schema.errors import StorageUnavailable
from schema.events import AttemptFailed, EventReplayed, LeadDeadLettered, encode

# Each table with what names a row of it; surrogate keys differ from run to run, so persons go by CPF.
TABLES = {
    "webhook_events": "SELECT * FROM webhook_events ORDER BY id",
    "webhook_duplicates": "SELECT * FROM webhook_duplicates ORDER BY entry_id",
    "attempts": "SELECT * FROM attempts ORDER BY event_id, fence",
    "lead_state": "SELECT * FROM lead_state ORDER BY lead_id",
    "dead_letters": "SELECT * FROM dead_letters ORDER BY event_id",
    "people": "SELECT cpf, name, profile, updated_at FROM people ORDER BY cpf",
    "lead_people": "SELECT lead_id, cpf, contact_kind, event_id"
    " FROM lead_people JOIN people ON person_id = id ORDER BY lead_id, cpf",
    "event_log": "SELECT * FROM event_log ORDER BY stream, entry_id",
    "projection_checkpoints": "SELECT name, partition, stream, entry_id"
    " FROM projection_checkpoints ORDER BY stream",
}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    yield client
    await client.aclose()


def projector(db: asyncpg.Connection, redis: Client, batch: int) -> Projector:
    return Projector(db, redis, partitions=1, batch=batch, models=read_models(PlainCodec()))


async def tables(db: asyncpg.Connection) -> dict[str, list[dict]]:
    return {name: [dict(row) for row in await db.fetch(query)] for name, query in TABLES.items()}


async def project(
    db: asyncpg.Connection, redis: Client, entries: list[Stamped], rng: random.Random | None, batch: int
) -> dict[str, list[dict]]:
    """The tables after projecting; with ``rng``, each stream arrives in its own order but at its own pace."""
    await db.execute(EMPTY)
    await redis.flushall()
    waiting = {name: [e for e in entries if e[0] == name] for name in (KEYS.webhooks, KEYS.outcomes)}
    order = [name for name, _, _ in entries]
    if rng is not None:
        rng.shuffle(order)
    made = projector(db, redis, batch)
    for name in order:
        _, entry_id, event = waiting[name].pop(0)
        await redis.xadd(name, encode(event), id=entry_id)
        if rng is None or rng.random() < 0.3:
            await made.poll_once(0)
    while await made.poll_once(0):
        pass
    return await tables(db)


def differences(expected: list[dict], got: list[dict]) -> list[str]:
    """What differs, by row and column: the whole tables would bury it."""
    if len(expected) != len(got):
        return [f"{len(got)} rows instead of {len(expected)}"]
    return [
        f"{next(iter(e.values()))}.{column}: {g[column]!r} instead of {value!r}"
        for e, g in zip(expected, got, strict=True)
        for column, value in e.items()
        if g[column] != value
    ]


@pytest.mark.parametrize("seed", range(10))
async def test_batches_and_pace_of_the_streams_do_not_matter(db, redis, seed):
    """One fact at a time, everything at once, or anything between: every table is the same."""
    entries = World(seed).entries
    expected = await project(db, redis, entries, None, 1)
    for batch in (10_000, 2, 5):
        got = await project(db, redis, entries, random.Random(seed + batch), batch)
        for name, rows in expected.items():
            assert got[name] == rows, f"{name}, batches of {batch}: {differences(rows, got[name])}"


async def test_projecting_everything_again_changes_nothing(db, redis):
    """A checkpoint set back (a restored database, a rebuild) repeats facts; rows and counts stay."""
    before = await project(db, redis, World(7).entries, None, 3)
    assert any(row["duplicate_count"] for row in before["webhook_events"])
    await db.execute("TRUNCATE projection_checkpoints")
    again = projector(db, redis, 4)
    while await again.poll_once(0):
        pass
    after = await tables(db)
    for name, rows in before.items():
        assert after[name] == rows, name


@pytest.mark.parametrize("seed", range(6))
async def test_older_facts_never_move_a_row_back(db, redis, seed):
    """From a checkpoint set back, fact by fact: at no moment does any row tell less than it did."""
    before = await project(db, redis, World(seed).entries, None, 100)
    await db.execute("TRUNCATE projection_checkpoints")
    del before["projection_checkpoints"]
    again = projector(db, redis, 1)
    while await again.poll_once(0):
        after = await tables(db)
        for name, rows in before.items():
            assert after[name] == rows, f"{name}: {differences(rows, after[name])}"


async def test_a_replay_starts_without_an_error_whatever_went_before_it(db, redis):
    """An attempt the row never showed does not surface where it shares a batch with the replay.

    A dead letter's webhook comes again after its dedup key expired; the attempt on it fails, unseen in the
    row (a dead letter stays one until its replay); then the event is replayed.
    """
    world = World(0)
    world.entries.clear()
    error = {"step": "send", "code": "e", "api": "c2s"}
    about = ("L9", "on_create_lead")
    world._accept(*about, "webhook")
    world._put(LeadDeadLettered(**world._head(*about, fence=-1, attempt=8), **error, error="gave up"))
    world._accept(*about, "webhook")
    world._put(AttemptFailed(**world._head(*about, fence=-1, attempt=1), **error, error="away"))
    world._put(EventReplayed(**world._head(*about, fence=-1), reason="mended"))
    for cut in (1, 2, 3):  # the dead letter is on record; then the rest comes at once
        await db.execute(EMPTY)
        await redis.flushall()
        for part in (world.entries[:cut], world.entries[cut:]):
            for stream, entry_id, event in part:
                await redis.xadd(stream, encode(event), id=entry_id)
            await projector(db, redis, 100).poll_once(0)
        row = await db.fetchrow("SELECT status, retry_count, error_message, error_code FROM webhook_events")
        assert tuple(row) == ("received", 0, None, None), f"cut after {cut}"


@pytest.mark.parametrize("codec", [PlainCodec(), SealingCodec([bytes(32)])], ids=["clear", "sealed"])
async def test_a_key_that_went_with_its_transaction_is_not_used(db, redis, codec):
    """Hashes of persons are made with the key on record, also where the batch that made it was taken back."""
    lost: list[int] = []

    async def loses_the_first(conn: asyncpg.Connection, _: object) -> None:
        if not lost and (keys := await conn.fetchval("SELECT count(*) FROM data_keys")):
            lost.append(keys)
            raise StorageUnavailable("as if Postgres had gone away")

    await db.execute("TRUNCATE data_keys, subjects CASCADE")
    await redis.flushall()
    for name, entry_id, event in World(9).entries:
        await redis.xadd(name, encode(event), id=entry_id)
    models = (*read_models(codec), loses_the_first)
    made = Projector(db, redis, partitions=1, batch=10_000, models=models)
    left = 1
    while left:
        with suppress(StorageUnavailable):
            left = await made.poll_once(0)
    await made.aclose()
    assert lost
    hashes = Hashes(codec)
    await hashes.prepare(db)
    known = {row["hash"] for row in await db.fetch("SELECT hash FROM subject_index WHERE kind = 'cpf'")}
    stored = {row["cpf"]: row["cpf_sealed"] for row in await db.fetch("SELECT cpf, cpf_sealed FROM people")}
    persons = await Persons(codec).named(db, stored)
    clear = {person.open("cpf", stored[name] or name) for name, person in persons.items()}
    assert clear
    assert {person.name for person in (await Persons(codec).of(db, clear)).values()} == set(stored)
    assert {hashes.of(named("cpf", text)) for text in clear} == known
