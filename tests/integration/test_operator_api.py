"""The operator API over a real door, record and dead letters."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from support_ingress import Door, entries, open_door
from support_operator import (
    BEARER,
    EMAIL,
    accepted,
    actions,
    body_of,
    door_settings,
    drop_payloads,
    end,
    forget,
    operated_settings,
    record,
)

from ops.migrate import migrate

PATHS = ("/api/v1/events", "/api/v1/dead", "/api/v1/stats")


@pytest.fixture
async def door(redis_url: str, database_url: str) -> AsyncIterator[Door]:
    await migrate(database_url)
    await forget(database_url)
    async with open_door(operated_settings(redis_url, database_url)) as opened:
        yield opened


async def test_without_the_token_nothing_is_told(door: Door) -> None:
    """No token, a wrong one, one of strange characters: 401 as a problem document, on every address."""
    for path in PATHS:
        assert (await door.ask("GET", path)).code == "admin_token_missing"
    wrong = {"Authorization": "Bearer wrong"}
    assert (await door.ask("GET", PATHS[0], headers=wrong)).code == "admin_token_invalid"
    assert (await door.ask("GET", PATHS[0], headers={"Authorization": "Basic x"})).status == 401
    odd = {"Authorization": "Bearer \u00e9\u00e8"}
    assert (await door.ask("POST", "/api/v1/replay", json={}, headers=odd)).status == 401


async def test_guessing_is_slowed_down(door: Door) -> None:
    """After ten wrong tokens of one source the next is refused unread, the right one too, for a while."""
    wrong = {"Authorization": "Bearer wrong"}
    codes = [(await door.ask("GET", PATHS[0], headers=wrong)).code for _ in range(11)]
    assert codes == ["admin_token_invalid"] * 10 + ["rate_limited"]
    assert (await door.ask("GET", PATHS[0], headers=BEARER)).status == 429


async def test_without_a_token_configured_it_is_not_there(redis_url: str, database_url: str) -> None:
    """No ADMIN_TOKEN: 404, whatever is shown."""
    async with open_door(door_settings(redis_url, database_url)) as closed:
        for path in PATHS:
            assert (await closed.ask("GET", path, headers={"Authorization": "Bearer "})).status == 404


async def test_events_in_pages(door: Door, redis_url: str, database_url: str) -> None:
    """Pages go on where the last ended, filters narrow, the newest comes first."""
    ids = [await accepted(door, f"L{n}") for n in range(5)]
    await end(redis_url, ids[0])
    await record(redis_url, database_url)
    first = (await door.ask("GET", "/api/v1/events?limit=3", headers=BEARER)).json
    rest = (await door.ask("GET", f"/api/v1/events?limit=3&after={first['next']}", headers=BEARER)).json
    assert [row["event_id"] for row in first["events"] + rest["events"]] == ids[::-1]
    assert rest["next"] is None
    done = (await door.ask("GET", "/api/v1/events?status=success", headers=BEARER)).json
    assert [row["lead_id"] for row in done["events"]] == ["L0"]
    middle = first["events"][2]["received_at"]
    early = (await door.ask("GET", f"/api/v1/events?until={quote(middle)}", headers=BEARER)).json
    assert [row["event_id"] for row in early["events"]] == ids[1::-1]
    for wrong in ("status=x", "limit=0", "after=1", "since=yesterday", "until=soon", "lead=%20"):
        answer = await door.ask("GET", f"/api/v1/events?{wrong}", headers=BEARER)
        assert (answer.status, answer.code) == (422, "query_invalid")


async def test_a_story_without_what_is_personal(door: Door, redis_url: str, database_url: str) -> None:
    """The story tells receipt and end, neither body nor message; an unknown event is 404."""
    event_id = await accepted(door, "L1")
    await end(redis_url, event_id, message="Pessoa encontrada")
    await record(redis_url, database_url)
    story = (await door.ask("GET", f"/api/v1/events/{event_id}", headers=BEARER)).json
    assert [fact["type"] for fact in story["facts"]] == ["webhook_accepted", "lead_processed"]
    assert story["row"]["status"] == "success"
    assert story["message"] == "•••••"
    assert EMAIL not in str(story)
    assert "Pessoa" not in str(story)
    unknown = await door.ask("GET", f"/api/v1/events/{'0' * 8}-0000-0000-0000-{'0' * 12}", headers=BEARER)
    assert unknown.code == "event_unknown"


async def test_a_revealed_payload_is_on_record(door: Door, redis_url: str, database_url: str) -> None:
    """The raw body comes only with a reason, and who saw it and why is noted."""
    event_id = await accepted(door, "L1")
    await record(redis_url, database_url)
    path = f"/api/v1/events/{event_id}/payload"
    assert (await door.ask("POST", path, json={}, headers=BEARER)).code == "body_invalid"
    assert (await door.ask("POST", path, data=b"\xff", headers=BEARER)).code == "body_invalid"
    assert await actions(database_url) == []
    answer = await door.ask("POST", path, json={"reason": "the customer asked"}, headers=BEARER)
    assert answer.json["payload"] == body_of("L1").decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert await actions(database_url) == [("api", "payload_revealed", event_id, "the customer asked", 1)]


async def test_a_revealed_message_is_on_record(door: Door, redis_url: str, database_url: str) -> None:
    """Like a payload, and still where retention dropped that; 404 where there is none."""
    event_id, other = await accepted(door, "L1"), await accepted(door, "L2")
    await end(redis_url, event_id, message="Pessoa encontrada")
    await record(redis_url, database_url)
    await drop_payloads(database_url)
    order = {"reason": "the broker asked"}
    asked = await door.ask("POST", f"/api/v1/events/{event_id}/message", json=order, headers=BEARER)
    assert asked.json == {"event_id": event_id, "message": "Pessoa encontrada"}
    for missing in (f"{event_id}/payload", f"{other}/message"):
        answer = await door.ask("POST", f"/api/v1/events/{missing}", json=order, headers=BEARER)
        assert answer.code == "event_unknown"
    unsaid = await door.ask("POST", f"/api/v1/events/{event_id}/message", json={}, headers=BEARER)
    assert unsaid.code == "body_invalid"
    assert await actions(database_url) == [("api", "message_revealed", event_id, "the broker asked", 1)]


async def test_a_reason_that_postgres_refuses_is_noted_as_it_can_be(
    door: Door, redis_url: str, database_url: str
) -> None:
    """A NUL character (valid JSON, no text for Postgres) breaks nothing: the act is noted and done."""
    event_id = await accepted(door, "L1")
    await record(redis_url, database_url)
    path = f"/api/v1/events/{event_id}/payload"
    answer = await door.ask("POST", path, json={"reason": "asked\x00 by phone"}, headers=BEARER)
    assert answer.status == 200
    assert (await actions(database_url))[-1][3] == "asked\ufffd by phone"
    await end(redis_url, event_id, error="C2S answered 500")
    order = {"reason": "C2S is\x00 back", "all": True}
    assert (await door.ask("POST", "/api/v1/replay", json=order, headers=BEARER)).json["done"] == 1
    await record(redis_url, database_url)
    story = (await door.ask("GET", f"/api/v1/events/{event_id}", headers=BEARER)).json
    assert story["row"]["status"] == "received"
    assert [f["reason"] for f in story["facts"] if f["type"] == "event_replayed"] == ["C2S is\ufffd back"]


async def test_dead_letters_are_replayed_and_discarded(door: Door, redis_url: str, database_url: str) -> None:
    """Listed, previewed with their cost, replayed under the same id, discarded; each act is noted."""
    ids = [await accepted(door, f"L{n}") for n in range(3)]
    for event_id in ids:
        await end(redis_url, event_id, error="C2S answered 500")
    page = (await door.ask("GET", "/api/v1/dead?limit=2", headers=BEARER)).json
    rest = (await door.ask("GET", f"/api/v1/dead?after={page['next']}", headers=BEARER)).json
    assert [x["event_id"] for x in page["letters"] + rest["letters"]] == ids
    one = (await door.ask("GET", f"/api/v1/dead?event_id={ids[1]}", headers=BEARER)).json["letters"]
    assert [(x["event_id"], x["code"]) for x in one] == [(ids[1], "c2s_error")]
    order = {"reason": "C2S is back", "code": "c2s_error", "preview": True}
    seen = (await door.ask("POST", "/api/v1/replay", json=order, headers=BEARER)).json
    assert seen == {
        "done": 0, "letters": 3, "left": False, "calls_least": 3, "calls_most": 6, "seconds_most": 36.0
    }  # fmt: skip
    assert await actions(database_url) == []
    first = {"reason": "C2S is back", "event_id": ids[0]}
    assert (await door.ask("POST", "/api/v1/replay", json=first, headers=BEARER)).json["done"] == 1
    assert entries(redis_url)[-1]["event_id"] == ids[0]
    assert entries(redis_url)[-1]["source"] == "replay"
    everything = {"reason": "tests", "all": True}
    assert (await door.ask("POST", "/api/v1/discard", json=everything, headers=BEARER)).json["done"] == 2
    assert entries(redis_url, "c2s:{0}:dead") == []
    assert await actions(database_url) == [
        ("api", "dead_replayed", f"event {ids[0]}", "C2S is back", 1),
        ("api", "dead_discarded", "all", "tests", 2),
    ]
    assert (await door.ask("GET", "/api/v1/dead", headers=BEARER)).json == {"letters": [], "next": None}


async def test_nothing_named_is_not_everything(door: Door) -> None:
    """An order without a filter and without `all` is refused."""
    answer = await door.ask("POST", "/api/v1/replay", json={"reason": "oops"}, headers=BEARER)
    assert answer.code == "selection_missing"


async def test_what_cannot_be_noted_is_not_done(redis_url: str, database_url: str) -> None:
    """With Postgres away a replay is refused with 503, and the letters stay."""
    async with open_door(operated_settings(redis_url, database_url)) as door:
        await end(redis_url, await accepted(door, "L1"), error="C2S answered 500")
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    async with open_door(operated_settings(redis_url, nowhere)) as door:
        order = {"reason": "try", "all": True}
        assert (await door.ask("POST", "/api/v1/replay", json=order, headers=BEARER)).code == "unavailable"
    assert len(entries(redis_url, "c2s:{0}:dead")) == 1


async def test_statistics(door: Door, redis_url: str, database_url: str) -> None:
    """The same answers as `c2s stats --json`."""
    await end(redis_url, await accepted(door, "L1"))
    await record(redis_url, database_url)
    found = (await door.ask("GET", "/api/v1/stats?since=2h", headers=BEARER)).json
    assert found["success"][0]["success"] == 1
    assert found["by_status"][0]["status"] == "success"
