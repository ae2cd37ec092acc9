"""Webhooks at a real door over a real Redis: FAULTS.md rows 1-9, 16-19 and 41."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from structlog.testing import capture_logs
from support_ingress import (
    OUTCOMES,
    PREVIOUS,
    PREVIOUS_TOKEN,
    SECRET,
    TOKEN,
    WEBHOOKS,
    Door,
    door_settings,
    entries,
    events_of,
    lead,
    open_door,
    signed,
)

from ops.sign import sign_standard

NOW = datetime(2026, 1, 21, 10, 30, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def door(redis_url: str) -> AsyncIterator[Door]:
    async with open_door(door_settings(redis_url), NOW) as door:
        yield door


async def test_accepted_webhook_is_one_readable_entry(door: Door, redis_url: str) -> None:
    """Row 1: 200 `accepted`, one entry that holds the body byte for byte, one log line with ids only."""
    raw = b'{ "lead_id":"L1", "action":"on_create_lead" ,"x":"\\u00e9\\u0000" }'
    with capture_logs() as logs:
        answer = await door.post(raw, signed(raw) | {"traceparent": TRACE})
    assert answer.status == 200
    assert answer.json == {"status": "accepted", "event_id": answer.json["event_id"], "lead_id": "L1"}
    (entry,) = entries(redis_url)
    assert entry == {
        "event_id": answer.json["event_id"],
        "lead_id": "L1",
        "action": "on_create_lead",
        "version": entry["version"],
        "source": "webhook",
        "received_at": "2026-01-21T10:30:00.000000Z",
        "traceparent": TRACE,
        "payload": raw.decode(),
    }
    assert events_of(logs) == ["webhook.accepted"]
    line = next(line for line in logs if line["event"] == "webhook.accepted")
    assert (line["event_id"], line["lead_id"]) == (answer.json["event_id"], "L1")


@pytest.mark.parametrize("trace", ["junk", f"00-{'0' * 32}-00f067aa0ba902b7-01", TRACE.upper()])
async def test_invalid_traceparent_is_dropped(door: Door, redis_url: str, trace: str) -> None:
    """Only a valid trace context travels with the event."""
    raw = lead()
    await door.post(raw, signed(raw) | {"traceparent": trace})
    assert entries(redis_url)[0]["traceparent"] == ""


async def test_repeats_are_duplicates_of_the_first(door: Door, redis_url: str) -> None:
    """Rows 2 and 3: the same event again, also with another body, is `duplicate` with the first event id."""
    first = await door.post(lead())
    with capture_logs() as logs:
        again = await door.post(lead())
        changed = await door.post(lead(note="other body"))
    assert [a.json["status"] for a in (first, again, changed)] == ["accepted", "duplicate", "duplicate"]
    assert len({a.json["event_id"] for a in (first, again, changed)}) == 1
    assert len(entries(redis_url)) == 1
    assert [e["payload"] for e in entries(redis_url, OUTCOMES)] == [
        lead().decode(),
        lead(note="other body").decode(),
    ]
    assert events_of(logs) == ["webhook.duplicate", "webhook.duplicate"]


async def test_a_restarted_door_knows_duplicates(redis_url: str) -> None:
    """Row 2: a repeat after a restart is a duplicate too."""
    async with open_door(door_settings(redis_url)) as door:
        first = await door.post(lead())
    async with open_door(door_settings(redis_url)) as door:
        again = await door.post(lead())
    assert again.json == first.json | {"status": "duplicate"}


async def test_of_many_identical_posts_one_is_accepted(door: Door, redis_url: str) -> None:
    """Concurrent repeats agree on one event."""
    answers = await asyncio.gather(*(door.post(lead()) for _ in range(40)))
    statuses = sorted(a.json["status"] for a in answers)
    assert statuses == ["accepted"] + ["duplicate"] * 39
    assert len({a.json["event_id"] for a in answers}) == 1
    assert len(entries(redis_url)) == 1


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "signature_missing"),
        (signed(lead(), "another"), "signature_invalid"),
        (signed(lead() + b" "), "signature_invalid"),
        ({"X-C2S-Signature": "é" * 64}, "signature_malformed"),
        ({"X-C2S-Signature": "zz"}, "signature_malformed"),
        ({"X-C2S-Signature": ""}, "signature_malformed"),
        ({"webhook-signature": "v1,abc", "webhook-id": "1", "webhook-timestamp": "1"}, "signature_malformed"),
        ({"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()}, "signature_malformed"),
    ],
)
async def test_nothing_vouches(door: Door, redis_url: str, headers: dict[str, str], code: str) -> None:
    """Rows 4 and 5: 401 with its code, `auth.rejected`, nothing stored, nothing echoed."""
    with capture_logs() as logs:
        answer = await door.post(lead(), headers)
    assert (answer.status, answer.code) == (401, code)
    assert events_of(logs) == ["auth.rejected"]
    assert entries(redis_url) == []


@pytest.mark.parametrize("spell", [str.upper, str.lower, lambda h: "sha256=" + h, lambda h: "SHA256=" + h])
async def test_spellings_of_the_signature(door: Door, spell) -> None:
    """Upper and lower case, with and without prefix."""
    answer = await door.post(lead(), {"X-C2S-Signature": spell(signed(lead())["X-C2S-Signature"])})
    assert answer.json["status"] == "accepted"


@pytest.mark.parametrize(
    ("seconds", "status"), [(-301, 401), (-299, 200), (0, 200), (299, 200), (301, 401), (-(10**8), 401)]
)
@pytest.mark.parametrize("where", ["body", "header", "standard"])
async def test_window_of_signed_webhooks(
    door: Door, redis_url: str, where: str, seconds: int, status: int
) -> None:
    """Row 6: 300 s either way, by the body's time or a header's."""
    at = str(int((NOW + timedelta(seconds=seconds)).timestamp()))
    raw = lead(timestamp=int(at)) if where == "body" else lead()
    headers = signed(raw)
    if where == "header":
        headers["X-C2S-Timestamp"] = at
    if where == "standard":
        headers = {"webhook-id": "m1", "webhook-timestamp": at}
        headers["webhook-signature"] = sign_standard(SECRET, "m1", at, raw)
    answer = await door.post(raw, headers)
    assert answer.status == status
    assert len(entries(redis_url)) == (1 if status == 200 else 0)
    if status != 200:
        assert answer.code == "timestamp_expired"


async def test_the_leads_age_refuses_nothing(door: Door) -> None:
    """An old `updated_at` is the lead's age, not the message's."""
    raw = orjson.dumps({"id": "L1", "attributes": {"updated_at": "2019-01-01T00:00:00Z"}})
    assert (await door.post(raw)).json["status"] == "accepted"


@pytest.mark.parametrize("time_text", ['"abc"', '"\u0663\u0660\u0660"', "1e400", "-1"])
async def test_malformed_timestamp(door: Door, redis_url: str, time_text: str) -> None:
    """Row 7: 400 `timestamp_malformed`."""
    raw = f'{{"lead_id":"L1","timestamp":{time_text}}}'.encode()
    with capture_logs() as logs:
        answer = await door.post(raw)
    assert (answer.status, answer.code) == (400, "timestamp_malformed")
    assert events_of(logs) == ["auth.rejected"]
    assert entries(redis_url) == []


async def test_malformed_timestamp_header(door: Door) -> None:
    """Row 7, in a header."""
    answer = await door.post(lead(), signed(lead()) | {"X-C2S-Timestamp": "abc"})
    assert (answer.status, answer.code) == (400, "timestamp_malformed")


async def test_previous_secret_is_taken_and_told(door: Door) -> None:
    """Row 8: during a rotation the previous secret is accepted, logged and counted."""
    with capture_logs() as logs:
        answer = await door.post(lead(), signed(lead(), PREVIOUS))
    assert answer.json["status"] == "accepted"
    assert events_of(logs) == ["auth.previous_secret", "webhook.accepted"]
    async with door.client.get(f"http://127.0.0.1:{door.port}/metrics") as response:
        text = await response.text()
    assert 'c2s_previous_secret_total{kind="signature"} 1.0' in text
    assert 'c2s_webhooks_total{result="accepted"} 1.0' in text
    assert "c2s_accept_seconds_count 1.0" in text


async def test_standard_webhooks_secret_and_rotation(redis_url: str) -> None:
    """Standard Webhooks: a whsec_ secret, several signatures in one header, the previous secret."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    settings = door_settings(redis_url, C2S_WEBHOOK_SECRET="new", C2S_WEBHOOK_SECRET_PREVIOUS=secret)
    at = str(int(NOW.timestamp()))
    raw = lead()
    ours = sign_standard(secret, "m1", at, raw)
    headers = {"webhook-id": "m1", "webhook-timestamp": at, "webhook-signature": f"v1,AAAA v2,x {ours}"}
    async with open_door(settings, NOW) as door:
        with capture_logs() as logs:
            answer = await door.post(raw, headers)
        moved = await door.post(raw, headers | {"webhook-timestamp": str(int(at) + 1)})
    assert answer.json["status"] == "accepted"
    assert events_of(logs) == ["auth.previous_secret", "webhook.accepted"]
    assert moved.code == "signature_invalid"


async def test_url_tokens(door: Door) -> None:
    """Row 9: two tokens at a time; a wrong one is a 404 like any other, and no token is ever logged."""
    with capture_logs() as logs:
        current = await door.post(lead("A"), {}, f"{WEBHOOKS}/{TOKEN}")
        previous = await door.post(lead("B"), {}, f"{WEBHOOKS}/{PREVIOUS_TOKEN}")
        wrong = await door.post(lead("C"), {}, f"{WEBHOOKS}/wrong-token-in-the-url")
        nowhere = await door.post(lead("C"), {}, "/nowhere/wrong-token-in-the-url")
    assert [current.json["status"], previous.json["status"]] == ["accepted", "accepted"]
    assert (wrong.status, wrong.json) == (404, nowhere.json)
    assert "auth.rejected" in events_of(logs)
    assert "auth.previous_secret" in events_of(logs)
    assert not any(word in repr(logs) for word in (TOKEN, PREVIOUS_TOKEN, "wrong-token"))


@pytest.mark.parametrize("time_text", ["1", '"abc"'])
async def test_time_is_only_noted_where_a_token_vouches(door: Door, time_text: str) -> None:
    """Whoever has the token can write any time: refusing would lose a lead and protect nothing."""
    raw = f'{{"lead_id":"L1","action":"on_create_lead","timestamp":{time_text}}}'.encode()
    answer = await door.post(raw, {}, f"{WEBHOOKS}/{TOKEN}")
    assert answer.json["status"] == "accepted"


async def test_without_token_setting_every_token_is_wrong(redis_url: str) -> None:
    """No token configured: the tokened address does not exist."""
    settings = door_settings(redis_url, C2S_WEBHOOK_TOKEN="", C2S_WEBHOOK_TOKEN_PREVIOUS="")
    async with open_door(settings) as door:
        assert (await door.post(lead(), {}, f"{WEBHOOKS}/x")).status == 404


async def test_unsigned_is_taken_only_by_setting(redis_url: str) -> None:
    """ALLOW_UNSIGNED takes what nothing vouches for, not what a signature speaks against."""
    async with open_door(door_settings(redis_url, ALLOW_UNSIGNED="true")) as door:
        assert (await door.post(lead(), {})).json["status"] == "accepted"
        assert (await door.post(lead(), signed(lead(), "another"))).code == "signature_invalid"
    none = {"C2S_WEBHOOK_SECRET": "", "C2S_WEBHOOK_SECRET_PREVIOUS": ""}
    async with open_door(door_settings(redis_url, ALLOW_UNSIGNED="true", **none)) as door:
        assert (await door.post(lead("L2"), signed(lead("L2"), "any"))).json["status"] == "accepted"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"not json", 400, "json_invalid"),
        (b"", 400, "json_invalid"),
        (b'"text"', 400, "json_invalid"),
        (b'{"id":"L1","a":NaN}', 400, "json_invalid"),
        (b'{"id":"L1","a":"\\ud800"}', 400, "json_invalid"),
        (b'{"id":"L1","a":' + b"9" * 5000 + b"}", 400, "json_invalid"),
        (b"[" * 33 + b"]" * 33, 400, "json_invalid"),
        (b'{"action":"on_create_lead"}', 422, "lead_id_missing"),
        (b'{"id":"' + b"secretive" * 1200 + b'"}', 422, "lead_id_invalid"),
        (b'{"id":"secretive\\n"}', 422, "lead_id_invalid"),
        (b'[{"id":"secretive b"}]', 422, "batch_refused"),
    ],
)
async def test_refused_bodies(door: Door, redis_url: str, raw: bytes, status: int, code: str) -> None:
    """Rows 14, 15 and 17: a problem with its code, `webhook.refused`, nothing stored, nothing echoed."""
    with capture_logs() as logs:
        answer = await door.post(raw)
    assert (answer.status, answer.code) == (status, code)
    assert set(events_of(logs)) == {"webhook.refused"}
    assert "secretive" not in repr(logs) + repr(answer.json)
    assert entries(redis_url) == entries(redis_url, OUTCOMES) == []


async def test_unknown_action_is_recorded_not_processed(door: Door, redis_url: str) -> None:
    """Row 18: `ignored`: in the outcomes, not among the work, and a stranger's word is in no log."""
    with capture_logs() as logs:
        answer = await door.post(lead(action="on_paint_lead"))
    assert "paint" not in repr(logs)
    assert answer.json["status"] == "ignored"
    assert events_of(logs) == ["webhook.ignored"]
    assert entries(redis_url) == []
    assert [e["type"] for e in entries(redis_url, OUTCOMES)] == ["event_ignored"]


async def test_batch_with_a_bad_element(door: Door, redis_url: str) -> None:
    """Row 19: 200 with a status for each element; the good ones are stored."""
    raw = b'[{"id":"A"},{"id":"no good"},{"id":"A"},{"id":"B","action":"on_paint_lead"},7]'
    answer = await door.post(raw)
    assert answer.status == 200
    events = answer.json.pop("events")
    assert answer.json == {
        "status": "accepted", "received": 5, "accepted": 1, "duplicates": 1,
        "spooled": 0, "ignored": 1, "refused": 2, "rate_limited": 0,
    }  # fmt: skip
    assert [e["status"] for e in events] == ["accepted", "refused", "duplicate", "ignored", "refused"]
    assert [e.get("code") for e in events if "code" in e] == ["lead_id_invalid", "json_invalid"]
    assert [e["lead_id"] for e in entries(redis_url)] == ["A"]


async def test_empty_batch(door: Door) -> None:
    """Nothing in, nothing wrong."""
    answer = await door.post(b"[]")
    assert (answer.status, answer.json["received"], answer.json["events"]) == (200, 0, [])


async def test_action_of_the_query(door: Door, redis_url: str) -> None:
    """C2S's GET shape has no action; `?action=` gives one."""
    await door.post(b'{"data":{"id":"A"}}', path=WEBHOOKS + "?action=on_create_lead")
    await door.post(b'{"data":{"id":"B"}}')
    assert [e["action"] for e in entries(redis_url)] == ["on_create_lead", "on_update_lead"]


async def test_personal_data_stays_out_of_the_log(door: Door) -> None:
    """Row 41: names with line breaks and ANSI codes, phones and CPFs reach no log line."""
    customer = {"name": "Ana\r\n\x1b[31m", "phone": "11987654321", "cpf": "529.982.247-25"}
    with capture_logs() as logs:
        answer = await door.post(lead(attributes={"customer": customer}))
    assert answer.status == 200
    assert not any(word in repr(logs) for word in ("Ana", "11987654321", "529.982", "\x1b"))


async def test_addresses_and_methods_that_are_not(door: Door) -> None:
    """404 and 405 are problem documents; a path is never echoed."""
    missing = await door.ask("GET", "/<script>alert(1)</script>")
    method = await door.ask("GET", WEBHOOKS)
    assert (missing.status, missing.code) == (404, "not_found")
    assert (method.status, method.code, method.headers["Allow"]) == (405, "method_not_allowed", "POST")
    assert "script" not in repr(missing.json)


async def test_health_and_readiness(door: Door) -> None:
    """Alive; ready because the stream takes webhooks, though Postgres is away."""
    assert (await door.ask("GET", "/health")).json == {"status": "ok"}
    assert (await door.ask("GET", "/ready")).json == {"status": "ready", "store": "stream"}
