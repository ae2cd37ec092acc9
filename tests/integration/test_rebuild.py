"""The rebuild on real servers: what the archive says is what the tables hold, or it is told and mended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import asyncpg
import pytest
from support_facts import KEYS, T0, World
from support_waiting import until

from ops.migrate import migrate
from ops.redis import Client, blocking_client, command_client
from projections.copying import MANY
from projections.models import models
from projections.projector import Projector, read_models
from projections.rebuild import history
from projections.rebuild.run import LOCK, Rebuild, RebuildError, Report
from schema.codec import PlainCodec
from schema.events import WebhookAccepted, encode
from schema.identity import event_id_of

TABLES = [table.name for model in models(PlainCodec()) for table in model.tables]
EMPTY = f"TRUNCATE {', '.join(TABLES)}, event_log, event_log_dropped, projection_checkpoints"


@pytest.fixture(scope="module")
async def dsn(database_url: str) -> str:
    await migrate(database_url)
    return database_url


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    await conn.execute(EMPTY)
    yield conn
    await conn.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    yield client
    await client.aclose()


async def put(redis: Client, some: Sequence[World]) -> None:
    for world in some:
        for stream, entry_id, event in world.entries:
            await redis.xadd(stream, encode(event), id=entry_id)


def worlds(number: int, seed: int = 0) -> list[World]:
    """Worlds of leads of their own, two hours apart."""
    return [World(seed + n, f"{n}-", n * 7_200_000) for n in range(number)]


def projector(db: asyncpg.Connection, redis: Client, batch: int = 7) -> Projector:
    return Projector(db, redis, partitions=1, batch=batch, models=read_models(PlainCodec()))


async def drain(made: Projector) -> int:
    number = 0
    while some := await made.poll_once(0):
        number += some
    return number


async def rebuild(dsn: str, redis_url: str, *, check: bool, rival_s: float = 10.0) -> Report:
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    client = command_client(redis_url)
    try:
        made = Rebuild(conn, client, models(PlainCodec()), lambda *_: None, rival_s=rival_s)
        return await (made.check() if check else made.swap())
    finally:
        await conn.close()
        await client.aclose()


async def shape(db: asyncpg.Connection) -> dict[str, list]:
    """Columns, indexes, constraints, comments, grants and views: all that a swap must carry over."""
    queries = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity,"
        " col_description(format('%I', table_name)::regclass, ordinal_position)"
        " FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY($1)"
        " ORDER BY 1, 2",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename = ANY($1) ORDER BY 1, 2",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint"
        " WHERE conrelid::regclass::text = ANY($1) ORDER BY 1, 2",
        "grants": "SELECT table_name::text, grantee::text, privilege_type::text"
        " FROM information_schema.table_privileges WHERE table_schema = 'public' AND $1::text[] IS NOT NULL"
        " ORDER BY 1, 2, 3",
        "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'"
        " AND $1::text[] IS NOT NULL ORDER BY 1",
        "schemas": "SELECT nspname FROM pg_namespace"
        " WHERE nspname !~ '^pg_' AND $1::text[] IS NOT NULL ORDER BY 1",
    }
    return {name: [tuple(r) for r in await db.fetch(query, TABLES)] for name, query in queries.items()}


async def rows(db: asyncpg.Connection) -> dict[str, list]:
    """What the tables hold, persons by CPF: their surrogate keys are made anew."""
    found = {
        t: await db.fetch(f"SELECT * FROM {t} ORDER BY 1, 2")  # noqa: S608 -- our own names
        for t in TABLES
        if t not in ("people", "lead_people")
    }
    found["lead_people"] = await db.fetch(
        "SELECT lead_id, cpf, name, profile, found_at, p.updated_at, contact_kind, event_id, l.updated_at"
        " FROM lead_people l JOIN people p ON p.id = person_id ORDER BY 1, 2"
    )
    return {name: [tuple(row) for row in some] for name, some in found.items()}


@pytest.mark.parametrize("seed", range(4))
async def test_a_check_finds_nothing_where_nothing_is_wrong(db, dsn, redis, redis_url, seed):
    """Whatever the batches were, the archive makes the same rows; a check leaves nothing behind."""
    await put(redis, worlds(5, seed * 10))
    number = await drain(projector(db, redis))
    before = await shape(db)
    report = await rebuild(dsn, redis_url, check=True)
    assert report.examples == []
    assert (report.differences, report.entries, report.swapped) == (0, number, False)
    assert (
        report.tables["webhook_events"].rows == await db.fetchval("SELECT count(*) FROM webhook_events") > 0
    )
    assert await shape(db) == before


async def test_each_kind_of_difference_is_told_by_row_and_column(db, dsn, redis, redis_url):
    """A changed, a missing and an invented row are found; personal values are not shown."""
    await put(redis, worlds(6))
    await drain(projector(db, redis))
    changed = await db.fetchval(
        "UPDATE webhook_events SET status = 'lost', raw_payload = '\"x\"' WHERE id ="
        " (SELECT id FROM webhook_events WHERE status = 'success' LIMIT 1) RETURNING id"
    )
    gone = await db.fetchrow(
        "DELETE FROM attempts WHERE ctid = (SELECT ctid FROM attempts LIMIT 1) RETURNING *"
    )
    await db.execute("INSERT INTO people (cpf, found_at, updated_at) VALUES ('39053344705', NOW(), NOW())")
    report = await rebuild(dsn, redis_url, check=True)
    assert report.differences == 3
    by_table = {example.table: example for example in report.examples}
    assert by_table["webhook_events"].key == {"id": str(changed)}
    assert by_table["webhook_events"].columns["status"] == ("lost", "success")
    assert by_table["webhook_events"].columns["raw_payload"] == ("(personal)", "(personal)")
    assert (by_table["attempts"].kind, by_table["attempts"].key["fence"]) == (
        "only rebuilt",
        str(gone["fence"]),
    )
    assert (by_table["people"].kind, by_table["people"].key) == ("only live", {"cpf": "(personal)"})


async def test_a_swap_mends_the_rows_and_keeps_the_tables_shape(db, dsn, redis, redis_url):
    """After it every row is as the archive says; indexes, keys, comments, grants and views are as before."""
    await put(redis, worlds(6))
    made = projector(db, redis)
    await drain(made)
    right = await rows(db)
    await db.execute(
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT SELECT ON webhook_events TO reader;"
        " CREATE VIEW seen AS SELECT status, count(*) FROM webhook_events GROUP BY 1;"
        " CREATE VIEW seen_twice AS SELECT * FROM seen; COMMENT ON VIEW seen IS 'Status by status.';"
        " GRANT SELECT ON seen_twice TO reader"
    )
    try:
        before = await shape(db)
        await db.execute(
            "UPDATE webhook_events SET status = 'lost'; DELETE FROM attempts; DELETE FROM people"
        )
        report = await rebuild(dsn, redis_url, check=False)
        assert report.swapped
        assert report.differences > 0
        assert await rows(db) == right
        assert await shape(db) == before
        assert await db.fetchval("SELECT obj_description('seen'::regclass)") == "Status by status."
        assert (await rebuild(dsn, redis_url, check=True)).differences == 0
        # The projector goes on over the connection it has, on the new tables.
        later = worlds(7)[-1]
        await put(redis, [later])
        assert await drain(made) == len(later.entries)
        assert (await rebuild(dsn, redis_url, check=True)).differences == 0
    finally:
        await db.execute("DROP VIEW seen_twice, seen; DROP OWNED BY reader; DROP ROLE reader")


async def test_an_entry_that_the_archive_lost_is_told_and_archived_again(db, dsn, redis, redis_url):
    """What a stream still holds behind the checkpoint must be in the archive; a swap puts it back."""
    await put(redis, [World(3)])
    await drain(projector(db, redis))
    lost = await db.fetchrow(
        "DELETE FROM event_log WHERE entry_id = (SELECT max(entry_id) FROM event_log)"
        " RETURNING stream, entry_id"
    )
    report = await rebuild(dsn, redis_url, check=True)
    assert report.unarchived == [f"{lost['stream']} 0 {lost['entry_id']}"]
    assert report.differences == 1
    await rebuild(dsn, redis_url, check=False)
    assert (await rebuild(dsn, redis_url, check=True)).differences == 0


async def test_rows_older_than_the_archive_are_copied(db, dsn, redis, redis_url):
    """What retention took cannot be rebuilt: those rows are carried over whole, and counted."""
    await put(redis, worlds(6))
    await drain(projector(db, redis))
    right = await rows(db)
    cut = T0 + timedelta(hours=5)
    assert await db.execute("DELETE FROM event_log WHERE recorded_at < $1", cut) != "DELETE 0"
    assert (await rebuild(dsn, redis_url, check=True)).differences > 0
    await redis.flushall()
    await db.execute(
        "INSERT INTO event_log_dropped (partition_name, before, entries) VALUES ('event_log_x', $1, 1)", cut
    )
    report = await rebuild(dsn, redis_url, check=False)
    assert report.differences == 0
    assert 0 < report.copied["webhook_events"] < len(right["webhook_events"])
    assert await rows(db) == right


async def test_one_rebuild_at_a_time(db, dsn, redis_url):
    """A second one says so and changes nothing."""
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        for check in (True, False):
            with pytest.raises(RebuildError, match="another rebuild"):
                await rebuild(dsn, redis_url, check=check, rival_s=0.05)


async def test_who_drops_old_payloads_does_not_refuse_a_rebuild(db, dsn, redis, redis_url):
    """A batch of theirs is over in a moment: the rebuild waits for its end, not refused."""
    await put(redis, worlds(1))
    await drain(projector(db, redis))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        rebuilt = asyncio.create_task(rebuild(dsn, redis_url, check=True))
        await until(lambda: db.fetchval(waiting))
    assert (await rebuilt).differences == 0


async def test_a_swap_while_webhooks_arrive_misses_nothing(db, dsn, redis, redis_url):
    """Facts keep coming while the tables are exchanged; afterwards all are there and nothing differs."""
    await put(redis, worlds(4))
    made = projector(db, redis, batch=50)
    await drain(made)
    swapped = asyncio.Event()
    sent = 0

    async def traffic() -> None:
        nonlocal sent
        number = 10
        while not (swapped.is_set() and number > 30):
            for stream, _, event in World(number, f"{number}-", number * 7_200_000).entries:
                await redis.xadd(stream, encode(event))
                sent += 1
            number += 1
            await made.poll_once(0)

    async def swap() -> Report:
        try:
            return await rebuild(dsn, redis_url, check=False)
        finally:
            swapped.set()

    _, report = await asyncio.gather(traffic(), swap())
    await drain(made)
    assert report.swapped
    assert report.differences == 0
    assert sent > 500
    after = await rebuild(dsn, redis_url, check=True)
    assert (after.differences, after.examples) == (0, [])
    archived = await db.fetchval("SELECT count(*) FROM event_log")
    assert archived == await redis.xlen(KEYS.webhooks) + await redis.xlen(KEYS.outcomes)


async def test_what_was_accepted_once_more_long_after_is_in_the_way_of_no_copy(
    db, redis, dsn, redis_url, monkeypatch
):
    """Many events whose dedup keys had expired, in a later piece of the archive: their rows are there."""
    monkeypatch.setattr(history, "CHUNK", 2 * MANY)
    leads = [f"again-{number}" for number in range(2 * MANY)]
    for turn in range(2):
        for number, lead in enumerate(leads):
            head = {"event_id": event_id_of(lead), "lead_id": lead, "action": "on_create_lead"}
            event = WebhookAccepted(**head, version="v1", source="webhook", received_at=T0, payload="{}")
            await redis.xadd(KEYS.webhooks, encode(event), id=f"{1_700_000_000_000 + turn * 1_000}-{number}")
    await drain(projector(db, redis, batch=10_000))
    report = await rebuild(dsn, redis_url, check=True)
    assert (report.differences, report.entries) == (0, 2 * len(leads)), report
