"""The operator's daily questions: right answers, by index, each described."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ops.migrate import migrate
from ops.queries import query
from ops.redis import command_client
from ops.statistics import read_statistics
from projections import archive
from projections.batch import Fact
from projections.models import models
from projections.rebuild.run import Rebuild
from scale.asked import ASKED, QUERIES, VIEWS, questions
from scale.generator import facts, now
from schema.codec import PlainCodec
from schema.events import AttemptFailed, LeadDeadLettered, LeadProcessed, WebhookAccepted, WebhookDuplicated

EVENTS, DAYS = 15_000, 60
# What reads a whole table by its nature reads its index alone.
WHOLE = {"stats_several_attempts": "idx_webhook_events_lead_id"}
# A table that grows, read whole (an empty month costs 0.00); and a function that hides its plan from EXPLAIN.
SLOW = (
    r"Seq Scan on (webhook_|attempts|event_log|lead_|dead_letters|people)[^(]*\(cost=0\.00\.\.(?!0\.00)"
    r"|Function Scan on stats_"
)


@pytest.fixture(scope="module")
async def history(database_url: str) -> list[Fact]:
    """Two months of synthetic webhooks on record."""
    await migrate(database_url)
    conn = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    end = now()
    made = list(facts(EVENTS, end - timedelta(days=DAYS), end))
    await archive.apply(conn, made)
    nowhere = command_client("redis://127.0.0.1:1/0")
    report = await Rebuild(conn, nowhere, models(PlainCodec()), lambda *_: None).swap()
    assert report.tables["webhook_events"].rows == EVENTS
    await conn.execute("VACUUM ANALYZE")
    await conn.close()
    await nowhere.aclose()
    return made


@pytest.fixture
async def db(history: list[Fact], database_url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    yield conn
    await conn.close()


async def test_the_answers_agree_with_the_facts(db, history):
    """Counted by hand from the facts of a week: the same numbers."""
    since = datetime.now(UTC) - timedelta(days=7)
    found = await read_statistics(db, since)
    accepted = {f.event.event_id: f.event for f in history if isinstance(f.event, WebhookAccepted)}
    young = {event_id for event_id, event in accepted.items() if event.received_at >= since}

    def of(kind: type) -> list[Fact]:
        return [f for f in history if isinstance(f.event, kind) and f.event.event_id in young]

    good, dead, failed = of(LeadProcessed), of(LeadDeadLettered), of(AttemptFailed)
    (success,) = found["success"]
    assert (success["events"], success["success"], success["failed"]) == (len(young), len(good), len(dead))
    assert success["waiting"] == len(young) - len(good) - len(dead)
    assert float(success["success_rate"]) == round(100 * len(good) / (len(good) + len(dead)), 2)
    assert sum(row["events"] for row in found["status_by_hour"]) == len(young)
    repeats = [f for f in history if isinstance(f.event, WebhookDuplicated) and f.event.received_at >= since]
    assert found["duplicates"][0]["duplicates"] == len(repeats)
    assert {row["retry_count"] for row in found["retries"]} <= {0, 1, 2}
    ended = [f for f in history if isinstance(f.event, AttemptFailed | LeadDeadLettered) and f.at >= since]
    errors = Counter((f.event.api, f.event.code) for f in ended)
    told: Counter = Counter()
    for row in found["errors"]:
        told[row["error_api"], row["error_code"]] += row["failures"]
    assert told == errors
    assert {row["api"]: int(row["calls"]) for row in found["calls"]} == {
        "c2s": 2 * len(good) + len(ended), "diretrix": len(good), "work": len(good),
    }  # fmt: skip
    sent = sorted((f.at - f.event.received_at).total_seconds() for f in good if f.event.message_ref)
    latency = {row["hook_action"]: row for row in found["latency"]}["on_create_lead"]
    assert latency["messages"] == len(sent)
    assert float(latency["max_secs"]) == pytest.approx(sent[-1], abs=0.001)
    assert float(latency["p50_secs"]) == pytest.approx(sent[len(sent) // 2], rel=0.05)
    silent = {row["lead_id"] for row in found["without_message"]}
    assert silent
    assert silent <= {f.event.lead_id for f in dead} | {accepted[e].lead_id for e in young}
    assert len(failed) > 0


async def test_a_view_asks_the_same_of_the_last_day(db):
    """Each daily view gives what its function gives for 24 hours."""
    async with db.transaction():  # one NOW()
        for row in await db.fetch(VIEWS):
            name = row["viewname"]
            if name.startswith("daily_"):
                text = f"SELECT * FROM stats_{name[6:]}(NOW() - INTERVAL '24 hours')"  # noqa: S608 -- ours
                assert await db.fetch(f"SELECT * FROM {name}") == await db.fetch(text)  # noqa: S608 -- ours


async def test_no_question_reads_a_whole_table(db):
    """EXPLAIN: every view, and every query of plan, alerts, CLI and console, goes by an index."""
    assert set(ASKED) == {path.stem for path in QUERIES.glob("*.sql")}
    for name, (text, arguments) in (await questions(db)).items():
        # What counts all rows may read so small a table, but there is an index for a large one.
        await db.execute(f"SET enable_seqscan TO {'off' if name in WHOLE else 'on'}")
        plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN {text}", *arguments))
        assert not re.search(SLOW, plan), f"{name}:\n{plan}"
        if name in WHOLE:
            assert f"Index Only Scan using {WHOLE[name]}" in plan, plan


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("SELECT * FROM webhook_events WHERE lead_id = 's1-5'", "idx_webhook_events_lead_id"),
        ("SELECT * FROM webhook_events ORDER BY received_at DESC LIMIT 20", "idx_webhook_events_received_at"),
        ("SELECT * FROM webhook_duplicates WHERE event_id = gen_random_uuid()", "event_id"),
        ("SELECT * FROM event_log WHERE event_id = '11111111-1111-5111-8111-111111111111'", "event_id"),
        ("SELECT * FROM attempts WHERE event_id = '11111111-1111-5111-8111-111111111111'", "attempts_pkey"),
        ("SELECT * FROM dead_letters ORDER BY dead_at DESC LIMIT 20", "idx_dead_letters_dead_at"),
        ("SELECT * FROM lead_people WHERE lead_id = 's1-4'", "lead_people_pkey"),
    ],
)
async def test_what_people_look_up_goes_by_index(db, text, index):
    """By lead, by event, by time: no table is read whole."""
    plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN {text}"))
    assert index in plan, plan


async def test_every_view_and_function_is_described(db):
    """Views, their columns, and functions all say what they hold."""
    silent = await db.fetch(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND a.attnum > 0"
        " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    )
    assert silent == []
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    assert await db.fetch(f"{functions} AND obj_description(oid) IS NULL") == []


async def test_the_curve_of_calls_counts_what_failed_attempts_spent(db):
    """The overview's stretches together are what `stats_calls` says of the same days."""
    rows = await db.fetch(query("over_time"), 86_400.0, 61)
    spent = await db.fetchval("SELECT calls FROM stats_calls(NOW() - INTERVAL '61 days') WHERE api = 'c2s'")
    failed = await db.fetchval("SELECT sum((calls ->> 'c2s')::int) FROM attempts WHERE calls IS NOT NULL")
    assert failed > 0
    assert sum(row["c2s_calls"] for row in rows) == spent
