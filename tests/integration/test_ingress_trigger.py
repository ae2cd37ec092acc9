"""The old trigger at a real door (C2S.md §5), with outcomes as processors write them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest
import redis.asyncio as redis
from structlog.testing import capture_logs
from support_ingress import OUTCOMES, STREAM, Answer, Door, door_settings, entries, events_of, lead, open_door

from ops.migrate import migrate
from schema.events import EventIgnored, LeadDeadLettered, LeadProcessed, Outcome, encode

PATH = "/api/v1/leads/process"
KEY = {"X-API-Key": "trigger-key"}
ENRICHMENT = orjson.dumps({"kind": "same", "people": [{"cpf": "52998224725", "name": "Ana"}]}).decode()
NOW = datetime(2026, 1, 21, 10, 30, tzinfo=UTC)

Ends = Callable[[dict[str, Any]], Outcome]


@pytest.fixture
async def record_url(database_url: str) -> AsyncIterator[str]:
    await migrate(database_url)
    yield database_url
    await execute(database_url, "TRUNCATE webhook_events, people, lead_people")


async def execute(url: str, statement: str, *values: object) -> None:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(statement, *values)
    finally:
        await conn.close()


def common(entry: dict[str, str]) -> dict[str, Any]:
    return {k: entry[k] for k in ("event_id", "lead_id", "action")} | {"received_at": NOW, "at": NOW}


def sent(entry: dict[str, str]) -> Outcome:
    return LeadProcessed(**common(entry), result="sent", enrichment=ENRICHMENT)


async def process_next(redis_url: str, end: Ends) -> dict[str, str]:
    """Wait for the next entry and append its outcome, among those of other events."""
    async with redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=30) as client:
        reply: Any = await client.xread({STREAM: "0"}, block=20_000)
        rows = reply[STREAM] if isinstance(reply, dict) else reply[0][1]
        rows = rows[0] if isinstance(rows[0], list) else rows
        _, entry = rows[-1]
        other = EventIgnored(**common(entry) | {"event_id": "another"}, reason="unknown_action")
        for outcome in (other, end(entry)):
            await client.xadd(OUTCOMES, encode(outcome))
    return dict(entry)


async def ask_and_process(door: Door, redis_url: str, end: Ends) -> Answer:
    asked = asyncio.create_task(door.ask("POST", f"{PATH}?id=L1", headers=KEY))
    await process_next(redis_url, end)
    return await asked


async def test_waits_for_the_outcome(redis_url: str) -> None:
    """The lead's create event is appended, and the answer is its outcome, CPFs masked."""
    async with open_door(door_settings(redis_url)) as door:
        with capture_logs() as logs:
            answer = await ask_and_process(door, redis_url, sent)
    assert answer.status == 200
    assert answer.json.pop("message")
    assert answer.json == {
        "success": True,
        "lead_id": "L1",
        "cpfs_processed": ["***.982.247-**"],
        "entities_stored": 1,
    }
    (entry,) = entries(redis_url)
    assert (entry["source"], entry["action"]) == ("trigger", "on_create_lead")
    assert orjson.loads(entry["payload"]) == {"lead_id": "L1", "action": "on_create_lead"}
    assert events_of(logs) == ["trigger.kept"]
    assert "529" not in repr(logs)


async def test_no_match(redis_url: str) -> None:
    """Nobody found is a success with nobody in it."""

    def no_match(entry: dict[str, str]) -> Outcome:
        return LeadProcessed(**common(entry), result="no_match", enrichment='{"kind":"none","people":[]}')

    async with open_door(door_settings(redis_url)) as door:
        answer = await ask_and_process(door, redis_url, no_match)
    assert (answer.status, answer.json["success"], answer.json["cpfs_processed"]) == (200, True, [])


async def test_given_up(redis_url: str) -> None:
    """A dead letter is the documented failure."""

    def dead(entry: dict[str, str]) -> Outcome:
        return LeadDeadLettered(**common(entry), code="lead_gone", error="C2S knows no such lead")

    async with open_door(door_settings(redis_url)) as door:
        answer = await ask_and_process(door, redis_url, dead)
    assert (answer.status, answer.json["success"], answer.json["lead_id"]) == (200, False, "L1")
    assert "C2S knows no such lead" in answer.json["message"]


async def test_many_wait_at_once(redis_url: str) -> None:
    """Each caller gets its own lead's outcome from the one shared read."""
    async with open_door(door_settings(redis_url)) as door:
        ids = [f"L{n}" for n in range(20)]
        asked = [asyncio.create_task(door.ask("GET", f"{PATH}?id={i}", headers=KEY)) for i in ids]
        async with redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=30) as client:
            seen: dict[str, dict[str, str]] = {}
            after = "0"
            while len(seen) < len(ids):
                rows: Any = await client.xread({STREAM: after}, block=20_000)
                rows = next(iter(rows.values()))[0] if isinstance(rows, dict) else rows[0][1]
                for after, entry in rows:  # noqa: B007 -- goes on from the last
                    seen[entry["lead_id"]] = entry
            for entry in reversed(seen.values()):
                await client.xadd(OUTCOMES, encode(sent(entry)))
        answers = await asyncio.gather(*asked)
    assert [a.json["lead_id"] for a in answers] == ids
    assert {a.status for a in answers} == {200}


async def test_no_outcome_in_time(redis_url: str) -> None:
    """202 once the wait is over; asked again it is in work."""
    async with open_door(door_settings(redis_url, TRIGGER_WAIT_SECS="0.1")) as door:
        first = await door.ask("GET", f"{PATH}?id=L1", headers=KEY)
        again = await door.ask("GET", f"{PATH}?id=L1", headers=KEY)
    assert (first.status, first.json["success"], first.json["lead_id"]) == (202, True, "L1")
    assert again.status == 200
    assert (again.json["success"], again.json["duplicate_request"]) == (True, True)
    assert len(entries(redis_url)) == 1


async def test_webhook_and_trigger_are_one_event(redis_url: str) -> None:
    """A lead that its webhook brought already is in work, not processed again."""
    async with open_door(door_settings(redis_url)) as door:
        await door.post(lead("L1"))
        answer = await door.ask("GET", f"{PATH}?id=L1", headers=KEY)
    assert answer.json["duplicate_request"] is True
    assert len(entries(redis_url)) == 1


async def test_finished_before(redis_url: str, record_url: str) -> None:
    """A lead that reached its end earlier is answered from the record."""
    async with open_door(door_settings(redis_url, record_url)) as door:
        event_id = (await door.post(lead("L1"))).json["event_id"]
        insert = "INSERT INTO webhook_events (id, lead_id, hook_action, status) VALUES ($1, 'L1', 'x', $2)"
        await execute(record_url, insert, event_id, "processing")
        working = await door.ask("GET", f"{PATH}?id=L1", headers=KEY)
        await execute(record_url, "UPDATE webhook_events SET status = 'success', result = 'sent'")
        await execute(
            record_url,
            "WITH p AS (INSERT INTO people (cpf, updated_at, found_at) VALUES ('52998224725', now(), now())"
            " RETURNING id) INSERT INTO lead_people SELECT 'L1', id, 'phone', $1, now() FROM p",
            event_id,
        )
        done = await door.ask("GET", f"{PATH}?id=L1", headers=KEY)
        await execute(record_url, "UPDATE webhook_events SET status = 'failed', error_message = 'gave up'")
        failed = await door.ask("GET", f"{PATH}?id=L1", headers=KEY)
    assert working.json["duplicate_request"] is True
    assert (done.json["success"], done.json["cpfs_processed"]) == (True, ["***.982.247-**"])
    assert failed.json["success"] is False
    assert "gave up" in failed.json["message"]


@pytest.mark.parametrize(
    "how",
    [
        {"headers": KEY},
        {"headers": {"Authorization": "Bearer trigger-key"}},
        {"params": {"key": "trigger-key"}},
    ],
    ids=["header", "bearer", "query"],
)
async def test_ways_to_give_the_key(redis_url: str, how: dict[str, Any]) -> None:
    """The key comes by header, as bearer token or in the query."""
    async with open_door(door_settings(redis_url, TRIGGER_WAIT_SECS="0")) as door:
        how = {**how, "params": {"id": "L1"} | how.get("params", {})}
        assert (await door.ask("POST", PATH, **how)).status == 202


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({}, "api_key_missing"),
        ({"headers": {"X-API-Key": "wrong"}}, "api_key_invalid"),
        ({"headers": {"X-API-Key": "é"}}, "api_key_invalid"),
        ({"headers": {"Authorization": "Basic trigger-key"}}, "api_key_missing"),
    ],
)
async def test_no_key_no_trigger(redis_url: str, how: dict[str, Any], code: str) -> None:
    """401 without the right key; nothing is appended and the key is not logged."""
    async with open_door(door_settings(redis_url)) as door:
        with capture_logs() as logs:
            answer = await door.ask("GET", f"{PATH}?id=L1", **how)
    assert (answer.status, answer.code) == (401, code)
    assert events_of(logs) == ["auth.rejected"]
    assert "wrong" not in repr(logs)
    assert entries(redis_url) == []


async def test_no_key_configured(redis_url: str) -> None:
    """Without TRIGGER_API_KEY the trigger is shut, unless ALLOW_OPEN_TRIGGER opens it."""
    shut = door_settings(redis_url, TRIGGER_API_KEY="")
    async with open_door(shut) as door:
        assert (await door.ask("GET", f"{PATH}?id=L1", headers={"X-API-Key": ""})).status == 401
        assert (await door.ask("GET", f"{PATH}?id=L1", headers=KEY)).status == 401
    opened = door_settings(redis_url, TRIGGER_API_KEY="", ALLOW_OPEN_TRIGGER="true", TRIGGER_WAIT_SECS="0")
    async with open_door(opened) as door:
        assert (await door.ask("GET", f"{PATH}?id=L1")).status == 202


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "lead_id_missing"), ("?id=", "lead_id_missing"), ("?id=a%0Ab", "lead_id_invalid")],
)
async def test_lead_ids_that_are_none(redis_url: str, query: str, code: str) -> None:
    """422 where the query names no lead."""
    async with open_door(door_settings(redis_url)) as door:
        answer = await door.ask("GET", PATH + query, headers=KEY)
    assert (answer.status, answer.code) == (422, code)


async def test_closing_door_lets_waiters_go(redis_url: str) -> None:
    """A door that closes answers those who wait: accepted, comes later."""
    async with open_door(door_settings(redis_url)) as door:
        asked = asyncio.create_task(door.ask("GET", f"{PATH}?id=L1", headers=KEY))
        async with redis.Redis.from_url(redis_url, socket_timeout=30) as client:
            await client.xread({STREAM: "0"}, block=20_000)
        async with asyncio.timeout(10):
            await door.close()
            assert (await asked).status == 202
