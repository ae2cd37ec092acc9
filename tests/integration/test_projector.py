"""The projector on real servers: facts in, rows out, whatever the batches."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import replace
from support_record import EMPTY

from ops.redis import Client, blocking_client, command_client
from projections.checkpoint import StaleCheckpoint
from projections.projector import Projector, read_models
from schema.codec import PlainCodec
from schema.events import (
    AttemptFailed,
    Event,
    EventIgnored,
    EventReplayed,
    LeadDeadLettered,
    LeadProcessed,
    ProcessingStarted,
    WebhookAccepted,
    WebhookDuplicated,
    encode,
)
from schema.identity import event_id_of
from schema.keys import Keys

KEYS = Keys(0)
T0 = datetime(2026, 1, 21, 12, tzinfo=UTC)
PEOPLE = (
    '{"kind":"same","people":[{"cpf":"52998224725","name":"Ana","contact_kind":"phone","profile":{"a":1}}]}'
)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = command_client(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def reader(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    yield client
    await client.aclose()


def projector(conn: asyncpg.Connection, reader: Client, batch: int = 500, models: Sequence | None = None):
    made = read_models(PlainCodec()) if models is None else models
    return Projector(conn, reader, partitions=1, batch=batch, models=made)


def head(lead: str, fence: int = 0, attempt: int = 0) -> dict:
    return {
        "event_id": event_id_of(lead),
        "lead_id": lead,
        "action": "on_create_lead",
        "received_at": T0,
        "at": T0 + timedelta(seconds=fence),
        "fence": fence,
        "attempt": attempt,
        "instance": "p1",
    }


def accepted(lead: str, payload: str = '{"a":1}') -> WebhookAccepted:
    return WebhookAccepted(
        event_id=event_id_of(lead),
        lead_id=lead,
        action="on_create_lead",
        version="v1",
        source="webhook",
        received_at=T0,
        payload=payload,
    )


def story(lead: str) -> list[Event]:
    """A lead that fails once, succeeds, and whose webhook comes twice."""
    return [
        accepted(lead),
        ProcessingStarted(**head(lead, 10, 1)),
        AttemptFailed(**head(lead, 10, 1), step="people", code="x", api="diretrix", error="away"),
        WebhookDuplicated(**head(lead), payload='{"b":2}'),
        ProcessingStarted(**head(lead, 20, 2)),
        LeadProcessed(**head(lead, 20, 2), result="sent", message_ref="ref: 1", enrichment=PEOPLE),
    ]


async def put(redis: Client, *events: Event) -> None:
    for event in events:
        stream = KEYS.webhooks if isinstance(event, WebhookAccepted) else KEYS.outcomes
        await redis.xadd(stream, encode(event))


async def drain(made: Projector) -> None:
    while await made.poll_once(0.001):
        pass


async def dump(db: asyncpg.Connection) -> dict[str, list]:
    tables = ("webhook_events", "attempts", "webhook_duplicates", "lead_state", "lead_people", "people")
    # In an order of their own: stream ids differ from run to run, and as text 1-10 comes before 1-9.
    return {
        t: sorted(
            (tuple(v for k, v in row.items() if k not in ("entry_id", "person_id", "id")) for row in rows),
            key=repr,
        )
        for t in tables
        for rows in [await db.fetch(f"SELECT * FROM {t}")]  # noqa: S608 -- our own names
    }


async def test_a_whole_story_becomes_its_rows(db, redis, reader):
    """One event's facts make one row, its attempts, its duplicate, its person and the archive."""
    await put(redis, *story("L1"))
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT * FROM webhook_events")
    assert (row["lead_id"], row["status"], row["result"]) == ("L1", "success", "sent")
    assert (row["retry_count"], row["duplicate_count"], row["error_message"]) == (1, 1, None)
    assert row["processed_at"] == T0 + timedelta(seconds=20)
    assert row["raw_payload"] == '{"a": 1}'
    assert [r["ending"] for r in await db.fetch("SELECT ending FROM attempts ORDER BY fence")] == [
        "attempt_failed",
        "lead_processed",
    ]
    assert await db.fetchval("SELECT count(*) FROM event_log") == 6
    assert await db.fetchval("SELECT payload FROM webhook_duplicates") == '{"b":2}'
    assert (await db.fetchrow("SELECT cpf, name FROM people JOIN lead_people ON person_id = id"))["cpf"] == (
        "52998224725"
    )


async def test_a_waiting_retry_shows_as_processing_with_its_error(db, redis, reader):
    """While it waits, and while the next attempt runs, the row tells the last error."""
    await put(redis, *story("L1")[:3])
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT * FROM webhook_events")
    assert (row["status"], row["retry_count"], row["error_message"]) == ("processing", 1, "away")
    await put(redis, ProcessingStarted(**head("L1", 20, 2)))
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT * FROM webhook_events")
    assert (row["status"], row["retry_count"], row["error_message"]) == ("processing", 1, "away")


@pytest.mark.parametrize("seed", range(8))
async def test_batches_and_stream_order_do_not_matter(db, redis, reader, seed):
    """However the streams are cut into batches, and whichever comes first, the rows are the same."""
    stories = [story("L1"), story("L2"), story("L3")]
    await put(redis, *(event for s in stories for event in s))
    await drain(projector(db, reader))
    expected = await dump(db)
    await db.execute(EMPTY)
    await redis.flushall()
    rng = random.Random(seed)
    accepts, outcomes = [s[0] for s in stories], [e for s in stories for e in s[1:]]
    while accepts or outcomes:
        side = rng.choice([x for x in (accepts, outcomes) if x])
        await put(redis, side.pop(0))
        if rng.random() < 0.5:
            await projector(db, reader, batch=rng.randint(1, 4)).poll_once(0.001)
    await drain(projector(db, reader, batch=rng.randint(1, 4)))
    assert await dump(db) == expected


async def test_a_replay_moves_a_failed_event_on(db, redis, reader):
    """A dead letter is failed; its replay is received again; its new end wins."""
    failed = LeadDeadLettered(**head("L1", 10, 8), step="lead", code="x", error="gone")
    await put(redis, accepted("L1"), failed)
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT status || retry_count FROM webhook_events") == "failed8"
    await put(redis, EventReplayed(**head("L1", 15), reason="mended"))
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT status FROM webhook_events") == "received"
    await put(redis, LeadProcessed(**head("L1", 20, 1), result="sent"))
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT status, retry_count, error_message FROM webhook_events")
    assert tuple(row) == ("success", 0, None)


async def test_ignored_webhooks_are_on_record(db, redis, reader):
    """An unknown action makes a row; `already_final` leaves the row alone."""
    await put(redis, EventIgnored(**head("L1"), reason="unknown_action", source="webhook", payload="{}"))
    await put(redis, *story("L2"))
    await put(redis, EventIgnored(**head("L2", 30, 1), reason="already_final"))
    await drain(projector(db, reader))
    rows = await db.fetch("SELECT status, result, attempt FROM webhook_events ORDER BY lead_id")
    assert [tuple(r) for r in rows] == [("success", "ignored", 0), ("success", "sent", 2)]


async def test_nul_and_nonsense_do_not_stall(db, redis, reader):
    """A NUL in the payload is replaced in the row and kept in the archive; an alien entry is archived."""
    await put(redis, accepted("L1", '{"name":"a\\u0000b"}'))
    await redis.xadd(KEYS.outcomes, {"type": "who_knows", "x": "1"})
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT raw_payload->>'name' FROM webhook_events") == "a�b"
    assert (
        await db.fetchval("SELECT payload FROM event_log WHERE stream = 'webhooks'") == '{"name":"a\\u0000b"}'
    )
    assert await db.fetchval("SELECT type FROM event_log WHERE stream = 'outcomes'") == "undecodable"


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "lead_processed", "event_id": "no-uuid"},
        {"attempt": str(10**12)},
        {"fence": "-1"},
        {"received_at": "2026-01-21T12:00:00"},
        {"instance": b"\xff\xfe"},
        {"instance": "a\x00b"},
    ],
)
async def test_an_alien_entry_is_archived_and_passed_over(db, redis, reader, fields):
    """What fits no column is kept as `undecodable`, and the entries after it are projected."""
    await redis.xadd(KEYS.outcomes, encode(ProcessingStarted(**head("L1", 10, 1))) | fields)
    await put(redis, *story("L2"))
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT count(*) FROM event_log WHERE type = 'undecodable'") == 1
    assert [r["lead_id"] for r in await db.fetch("SELECT lead_id FROM webhook_events")] == ["L2"]


@pytest.mark.parametrize("payload", ['{"a":"\\ud800"}', '{"a":1e200000}', "{broken"])
async def test_a_payload_that_jsonb_refuses_costs_only_itself(db, redis, reader, payload):
    """Its row has no payload, its neighbours in the batch keep theirs, the archive has the bytes."""
    await put(redis, accepted("L1", payload), accepted("L2"))
    assert await projector(db, reader).poll_once(0) == 2
    rows = await db.fetch("SELECT raw_payload FROM webhook_events ORDER BY lead_id")
    assert [r["raw_payload"] for r in rows] == [None, '{"a": 1}']
    assert await db.fetchval("SELECT payload FROM event_log WHERE lead_id = 'L1'") == payload


async def test_an_escaped_backslash_before_u0000_is_left_alone(db, redis, reader):
    """Only a true NUL is replaced: a backslash followed by the letters u0000 is ordinary text."""
    await put(redis, accepted("L1", r'{"a":"\\u0000","b":"\\\u0000"}'))
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT raw_payload->>'a' AS a, raw_payload->>'b' AS b FROM webhook_events")
    assert tuple(row) == (r"\u0000", "\\�")


@pytest.mark.parametrize("enrichment", ["not json", "[]", '{"people":[{"cpf":1}]}', '{"people":[{}]}'])
async def test_unreadable_enrichment_does_not_stall(db, redis, reader, enrichment):
    """The event's row is written; no person is."""
    await put(redis, LeadProcessed(**head("L1", 10, 1), result="sent", enrichment=enrichment))
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT status FROM webhook_events") == "success"
    assert await db.fetchval("SELECT count(*) FROM people") == 0


async def test_seeing_the_streams_again_changes_nothing(db, redis, reader):
    """With its checkpoints lost, the projector reads all anew and every table stays as it was."""
    dead = LeadDeadLettered(**head("L3", 10, 8), step="lead", code="x", error="gone")
    await put(redis, *story("L1"), *story("L2"), accepted("L3"), dead)
    await drain(projector(db, reader))
    before = await dump(db)
    await db.execute("TRUNCATE projection_checkpoints")
    await drain(projector(db, reader, batch=2))
    assert await dump(db) == before
    assert await db.fetchval("SELECT count(*) FROM event_log") == 14


async def test_a_repeat_before_its_webhook_makes_the_row(db, redis, reader):
    """The repeat is counted on a row of status received, which the webhook then completes."""
    await put(redis, WebhookDuplicated(**head("L1"), source="webhook", payload="{}"))
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT status, duplicate_count, raw_payload FROM webhook_events")
    assert tuple(row) == ("received", 1, None)
    await put(redis, accepted("L1"))
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT status, duplicate_count, raw_payload, source FROM webhook_events")
    assert tuple(row) == ("received", 1, '{"a": 1}', "webhook")


async def test_an_uncounted_failure_leaves_the_retry_count(db, redis, reader):
    """When the outside world says wait, the row tells why, but no attempt is spent."""
    told = AttemptFailed(**head("L1", 10, 3), step="send", code="c2s_429", api="c2s", error="wait", counted=0)
    await put(redis, accepted("L1"), told)
    await drain(projector(db, reader))
    row = await db.fetchrow("SELECT status, retry_count, error_code, step FROM webhook_events")
    assert tuple(row) == ("processing", 2, "c2s_429", "send")
    assert await db.fetchval("SELECT counted FROM attempts") is False


@pytest.mark.parametrize("batch", [1, 500])
async def test_a_finished_event_that_is_tried_again_keeps_its_end(db, redis, reader, batch):
    """Without a replay, a new attempt moves no finished event; its own end does."""
    await put(redis, *story("L1"), ProcessingStarted(**head("L1", 30, 1)))
    await drain(projector(db, reader, batch=batch))
    assert await db.fetchval("SELECT status || fence FROM webhook_events") == "success20"
    await put(redis, LeadProcessed(**head("L1", 30, 1), result="no_match"))
    await drain(projector(db, reader, batch=batch))
    assert await db.fetchval("SELECT result || fence FROM webhook_events") == "no_match30"


@pytest.mark.parametrize("batch", [1, 500])
async def test_dead_letters_are_listed_until_replayed(db, redis, reader, batch):
    """Who was given up is listed with the reason; a replay takes it from the list."""
    dead = LeadDeadLettered(**head("L1", 10, 8), step="lead", code="x", error="gone")
    await put(redis, accepted("L1"), dead, accepted("L2"), LeadDeadLettered(**head("L2", 11, 8)))
    await put(redis, EventReplayed(**head("L2", 12), reason="mended"))
    await drain(projector(db, reader, batch=batch))
    rows = await db.fetch("SELECT lead_id, step, error_code, error_message, attempts FROM dead_letters")
    assert [tuple(r) for r in rows] == [("L1", "lead", "x", "gone", 8)]


async def test_a_row_can_be_made_from_a_replayed_copy_alone(db, redis, reader):
    """A replayed webhook fills its row; the first-hand one, when it is seen, is named as the source."""
    await put(redis, replace(accepted("L1"), source="replay"))
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT source || raw_payload::text FROM webhook_events") == 'replay{"a": 1}'
    await put(redis, accepted("L1"), replace(accepted("L1"), source="replay"))
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT source FROM webhook_events") == "webhook"


async def test_a_failure_inside_the_transaction_leaves_nothing(db, redis, reader):
    """Rows and checkpoint move together or not at all."""

    async def explode(_conn: asyncpg.Connection, _facts: Sequence) -> None:
        raise RuntimeError("in the middle")

    await put(redis, *story("L1"))
    broken = projector(db, reader, models=(*read_models(PlainCodec()), explode))
    with pytest.raises(RuntimeError):
        await broken.poll_once(0.001)
    assert await db.fetchval("SELECT count(*) FROM webhook_events") == 0
    assert await db.fetchval("SELECT count(*) FROM projection_checkpoints") == 0
    await drain(projector(db, reader))
    assert await db.fetchval("SELECT duplicate_count FROM webhook_events") == 1


async def test_a_checkpoint_that_cannot_be_written_takes_the_rows_with_it(db, redis, reader):
    """However a batch's transaction is cut, no row is there of which the checkpoint does not know."""
    await put(redis, *story("L1"))
    await db.execute("ALTER TABLE projection_checkpoints ADD CONSTRAINT no_more CHECK (false)")
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await projector(db, reader).poll_once(0.001)
    finally:
        await db.execute("ALTER TABLE projection_checkpoints DROP CONSTRAINT no_more")
    assert not any((await dump(db)).values())
    assert await db.fetchval("SELECT count(*) FROM event_log") == 0


async def test_a_second_projector_cannot_advance_from_the_same_place(db, dsn, redis, reader):
    """The checkpoint's compare-and-set refuses whoever read before the other wrote."""
    await put(redis, *story("L1"))
    first = projector(db, reader)
    other_conn = await asyncpg.connect(dsn)
    second = projector(other_conn, reader)
    assert await first.poll_once(0.001)
    assert await second.poll_once(0.001) == 0
    await put(redis, accepted("L2"))
    assert await first.poll_once(0.001) == 1
    with pytest.raises(StaleCheckpoint):
        await second.poll_once(0.001)
    assert await second.poll_once(0.001) == 0
    assert await db.fetchval("SELECT count(*) FROM webhook_events") == 2
    await other_conn.close()
