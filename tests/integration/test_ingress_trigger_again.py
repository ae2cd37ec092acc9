"""The old trigger's waiting, its status page, repeats and `force` (C2S.md §5), at a real door."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs
from support_ingress import Door, door_settings, entries, events_of, lead, open_door

from ops.migrate import migrate

PATH = "/api/v1/leads/process"
STATUS = "/api/v1/leads/status"
KEY = {"X-API-Key": "trigger-key"}
NOW = datetime(2026, 1, 21, 10, 30, 15, tzinfo=UTC)


@pytest.fixture
async def record_url(database_url: str) -> AsyncIterator[str]:
    await migrate(database_url)
    yield database_url
    await execute(database_url, "TRUNCATE webhook_events, people, lead_people, ingress_spool")


async def execute(url: str, statement: str, *values: object) -> None:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(statement, *values)
    finally:
        await conn.close()


async def put(url: str, event_id: str, status: str, **more: object) -> None:
    row = {"id": event_id, "lead_id": "L1", "hook_action": "on_create_lead", "status": status} | more
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await execute(url, "DELETE FROM webhook_events")
    await execute(url, f"INSERT INTO webhook_events ({', '.join(row)}) VALUES ({places})", *row.values())  # noqa: S608 -- our own names


async def process(door: Door, query: str) -> tuple[int, dict]:
    answer = await door.ask("POST", f"{PATH}?{query}", headers=KEY)
    return answer.status, answer.json


async def test_wait_is_up_to_the_caller(redis_url: str) -> None:
    """`wait=0` answers at once: 202 with where the outcome will be, also as Location."""
    async with open_door(door_settings(redis_url, TRIGGER_WAIT_SECS="120")) as door:
        answer = await door.ask("GET", f"{PATH}?id=L1&wait=0", headers=KEY)
        status, short = await process(door, "id=L2&wait=0.05")
    (first, _) = entries(redis_url)
    assert (answer.status, status) == (202, 202)
    assert answer.json.pop("message")
    url = f"{STATUS}/{first['event_id']}"
    assert answer.headers["Location"] == url
    assert answer.json == {
        "success": True,
        "lead_id": "L1",
        "event_id": first["event_id"],
        "status_url": url,
    }
    assert short["success"] is True


@pytest.mark.parametrize(
    ("query", "code"),
    [(f"id=L1&wait={text}", "wait_invalid") for text in ("", "-1", "abc", "121", "1e3", "nan", "٣")]
    + [(f"id=L1&force={text}", "force_invalid") for text in ("", "yes", "1")],
)
async def test_parameters_that_are_none(redis_url: str, query: str, code: str) -> None:
    """422 with its code; nothing is appended."""
    async with open_door(door_settings(redis_url)) as door:
        status, problem = await process(door, query)
    assert (status, problem["code"]) == (422, code)
    assert entries(redis_url) == []


async def test_status_of_an_event(redis_url: str, record_url: str) -> None:
    """Where the event is; once it has ended, the old answer. CPFs are masked, nothing else is told."""
    async with open_door(door_settings(redis_url, record_url)) as door:
        _, accepted = await process(door, "id=L1&wait=0")
        url, event_id = accepted["status_url"], accepted["event_id"]

        async def status() -> dict:
            answer = await door.ask("GET", url, headers=KEY)
            assert answer.status == 200
            assert answer.json.pop("message")
            assert (answer.json.pop("event_id"), answer.json.pop("lead_id")) == (event_id, "L1")
            return answer.json

        await put(record_url, event_id, "received")
        assert await status() == {"status": "received", "done": False, "failed_attempts": 0}
        await put(record_url, event_id, "processing", retry_count=2, error_message="C2S answered 500")
        assert await status() == {"status": "processing", "done": False, "failed_attempts": 2}
        await put(record_url, event_id, "success", result="sent")
        await execute(
            record_url,
            "WITH p AS (INSERT INTO people (cpf, name, updated_at, found_at)"
            " VALUES ('52998224725', 'Ana', now(), now())"
            " RETURNING id) INSERT INTO lead_people SELECT 'L1', id, 'phone', $1, now() FROM p",
            event_id,
        )
        assert await status() == {
            "status": "success", "done": True, "failed_attempts": 0, "success": True,
            "cpfs_processed": ["***.982.247-**"], "entities_stored": 1,
        }  # fmt: skip
        await put(record_url, event_id, "failed", error_message="gave up")
        assert await status() == {"status": "failed", "done": True, "failed_attempts": 0, "success": False}


async def test_status_of_a_spooled_event(redis_url: str, record_url: str) -> None:
    """An event that waits in the spool is there, not unknown."""
    event_id = str(uuid4())
    statement = (
        "INSERT INTO ingress_spool (event_id, lead_id, action, version, source, received_at, traceparent,"
        " payload, dedup_key, known) VALUES ($1, 'L1', 'on_create_lead', 'v', 'trigger', now(), '', '{}',"
        " 'k', true)"
    )
    async with open_door(door_settings(redis_url, record_url)) as door:
        await execute(record_url, statement, event_id)
        answer = await door.ask("GET", f"{STATUS}/{event_id}", headers=KEY)
    assert (answer.json["status"], answer.json["done"], answer.json["lead_id"]) == ("spooled", False, "L1")


@pytest.mark.parametrize("event_id", ["0f8fad5b-d9cb-469f-a165-70867728950e", "abc", "L1%0A", "*"])
async def test_status_of_nothing(redis_url: str, record_url: str, event_id: str) -> None:
    """404 `event_unknown` with Retry-After: one that was just accepted may be a moment from the record."""
    async with open_door(door_settings(redis_url, record_url)) as door:
        answer = await door.ask("GET", f"{STATUS}/{event_id}", headers=KEY)
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (404, "event_unknown", "1")


async def test_status_needs_the_key_and_the_record(redis_url: str) -> None:
    """401 without the trigger's key; 503 while Postgres is away."""
    async with open_door(door_settings(redis_url)) as door:
        missing = await door.ask("GET", f"{STATUS}/{uuid4()}")
        away = await door.ask("GET", f"{STATUS}/{uuid4()}", headers=KEY)
    assert (missing.status, missing.code) == (401, "api_key_missing")
    assert (away.status, away.code) == (503, "unavailable")


async def test_force_is_an_event_of_its_own(redis_url: str, record_url: str) -> None:
    """A handled lead is processed again only with `force=true`, under another event id, logged."""
    async with open_door(door_settings(redis_url, record_url), NOW) as door:
        event_id = (await door.post(lead("L1"))).json["event_id"]
        await put(record_url, event_id, "success", result="sent")
        with capture_logs() as logs:
            again = await process(door, "id=L1&wait=0")
            unforced = await process(door, "id=L1&wait=0&force=false")
            forced = await process(door, "id=L1&wait=0&force=true")
            hasty = await process(door, "id=L1&wait=0&force=true")
    async with open_door(door_settings(redis_url, record_url), NOW + timedelta(minutes=1)) as door:
        later = await process(door, "id=L1&wait=0&force=true")
    assert (again[0], again[1]["success"], again[1]["cpfs_processed"]) == (200, True, [])
    assert unforced == again
    assert (forced[0], forced[1]["event_id"] != event_id) == (202, True)
    # Asked twice in a minute it is one event: in work, and messaged once.
    assert (hasty[1]["duplicate_request"], hasty[1]["event_id"]) == (True, forced[1]["event_id"])
    assert later[1]["event_id"] not in (event_id, forced[1]["event_id"])
    assert events_of(logs) == ["trigger.kept", "trigger.kept", "trigger.forced", "trigger.forced"]
    versions = [e["version"] for e in entries(redis_url)]
    assert versions[1:] == ["forced-2026-01-21T10:30Z", "forced-2026-01-21T10:31Z"]


async def test_the_trigger_has_a_rate_per_lead(redis_url: str) -> None:
    """A scenario gone wild gets 429; the lead's webhooks have their own rate."""
    async with open_door(door_settings(redis_url, LEAD_RATE_LIMIT="2/hour")) as door:
        answers = await asyncio.gather(*(process(door, "id=L1&wait=0") for _ in range(5)))
        webhook = await door.post(lead("L1", "on_update_lead"))
    assert sorted(status for status, _ in answers) == [200, 202, 429, 429, 429]
    assert webhook.status == 200
