"""Every body that C2S sends in the wild (C2S.md §1): shapes x times x ids, and what is made of each."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from schema.errors import BodyError
from schema.identity import dedup_key, event_id_of
from schema.webhook import Delivery, parse_body

JAN_21 = "2025-01-21T10:30:00.000000Z"

# As it stands in the body (JSON)          what it is in UTC
TIMES = [
    ("1737455400", JAN_21),  # epoch seconds
    ("1737455400.5", "2025-01-21T10:30:00.500000Z"),
    ("1737455400000", JAN_21),  # epoch milliseconds
    ('"1737455400"', JAN_21),
    ('"1737455400000"', JAN_21),
    ('"2025-01-21T10:30:00Z"', JAN_21),
    ('"2025-01-21T10:30:00.000Z"', JAN_21),
    ('"2025-01-21T07:30:00-03:00"', JAN_21),
    ('"2025-01-21T07:30:00-0300"', JAN_21),
    ('"2025-01-21 07:30:00.000 -0300"', JAN_21),
    ('"2025-01-21 07:30:00 -03:00"', JAN_21),
    ('"2025-01-21 10:30:00"', JAN_21),  # no offset: UTC
]

# As it stands in the body    the lead id
IDS = [
    ('"L1"', "L1"),
    ("4711", "4711"),
    ('"4711"', "4711"),
    ('"0f8fad5b-d9cb-469f-a165-70867728950e"', "0f8fad5b-d9cb-469f-a165-70867728950e"),
    ('"a.b_c:d@e-f"', "a.b_c:d@e-f"),
]

# Name        body, with ID and TIME in their places                                              action
SHAPES = [
    ("seed", '{"lead_id": ID, "action": "on_create_lead", "timestamp": TIME}', "on_create_lead"),
    ("seed-update", '{"lead_id": ID, "action": "on_update_lead", "timestamp": TIME}', "on_update_lead"),
    (
        "attributes",
        '{"id": ID, "hook_action": "on_update_lead", "attributes": {"updated_at": TIME, "customer": {}}}',
        "on_update_lead",
    ),
    (
        "data",
        (
            '{"hook_action": "on_create_lead", "data": {"type": "lead", "id": ID, "attributes": {}},'
            ' "timestamp": TIME}'
        ),
        "on_create_lead",
    ),
    (
        "lead",
        (
            '{"hook_action": "on_close_lead",'
            ' "lead": {"id": ID, "internal_id": 42, "attributes": {"updated_at": TIME}}}'
        ),
        "on_close_lead",
    ),
    ("get", '{"data": {"id": ID, "attributes": {"updated_at": TIME}}}', "on_update_lead"),
]


@pytest.mark.parametrize(("time_text", "utc"), TIMES, ids=[t for t, _ in TIMES])
@pytest.mark.parametrize(("id_text", "lead_id"), IDS, ids=[i for _, i in IDS])
@pytest.mark.parametrize("shape", SHAPES, ids=[s[0] for s in SHAPES])
def test_every_shape_time_and_id(
    shape: tuple[str, str, str], id_text: str, lead_id: str, time_text: str, utc: str
) -> None:
    """Each shape gives the same lead, action and version however its time and id are spelt."""
    _, template, action = shape
    text = template.replace("ID", id_text).replace("TIME", time_text)
    body = parse_body(text.encode())
    assert body.elements == (Delivery(lead_id, action, utc, text),)
    assert not body.batch
    assert body.elements[0].known
    # The message's own time stands at the top only; a lead's updated_at is its age.
    expected = datetime.fromisoformat(utc) if '"timestamp"' in text else None
    assert body.timestamp == expected


@pytest.mark.parametrize(("id_text", "lead_id"), IDS, ids=[i for _, i in IDS])
@pytest.mark.parametrize(("time_text", "utc"), TIMES, ids=[t for t, _ in TIMES])
def test_a_batch_of_every_shape(id_text: str, lead_id: str, time_text: str, utc: str) -> None:
    """In a batch each shape is what it is alone; only the message's time is nobody's."""
    texts = [template.replace("ID", id_text).replace("TIME", time_text) for _, template, _ in SHAPES]
    body = parse_body(f"[ {' ,'.join(texts)}]".encode())
    actions = [action for _, _, action in SHAPES]
    assert body.elements == tuple(
        Delivery(lead_id, action, utc, text) for action, text in zip(actions, texts, strict=True)
    )
    assert (body.batch, body.timestamp) == (True, None)


@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("on_create_lead", "L1:on_create_lead"),
        ("on_close_lead", "L1:on_close_lead"),
        ("on_update_lead", f"L1:on_update_lead:{JAN_21}"),
        ("on_paint_lead", f"L1:on_paint_lead:{JAN_21}"),
    ],
)
def test_identity(action: str, key: str) -> None:
    """Create and close happen once per lead, an update once per version; the id follows from the key."""
    raw = orjson.dumps({"id": "L1", "action": action, "timestamp": 1737455400})
    (delivery,) = parse_body(raw).elements
    assert isinstance(delivery, Delivery)
    assert delivery.dedup_key == key == dedup_key("L1", action, delivery.version)
    assert delivery.event_id == event_id_of(key)
    assert delivery.known is (action != "on_paint_lead")


@pytest.mark.parametrize(
    ("body", "default", "action"),
    [
        ({"data": {"id": "L1"}}, None, "on_update_lead"),
        ({"data": {"id": "L1"}}, "on_create_lead", "on_create_lead"),
        ({"data": {"id": "L1"}, "hook_action": "on_close_lead"}, "on_create_lead", "on_close_lead"),
        ({"id": "L1", "action": "on_create_lead", "hook_action": "on_close_lead"}, None, "on_close_lead"),
        ({"id": "L1", "action": ""}, "on_create_lead", "on_create_lead"),
        ({"id": "L1", "action": None}, None, "on_update_lead"),
    ],
)
def test_action(body: dict[str, Any], default: str | None, action: str) -> None:
    """The body's action comes before the query's, and an update is what is meant by none."""
    (delivery,) = parse_body(orjson.dumps(body), default_action=default).elements
    assert isinstance(delivery, Delivery)
    assert delivery.action == action


@pytest.mark.parametrize(
    ("body", "lead_id"),
    [
        ({"lead_id": "top", "data": {"id": "inner"}}, "top"),
        ({"id": "event", "data": {"id": "inner"}}, "inner"),
        ({"id": "event", "lead": {"lead_id": "inner", "id": "row"}}, "inner"),
        ({"id": "top", "data": "not an object"}, "top"),
        ({"lead_id": "", "id": "top"}, "top"),
        ({"lead_id": None, "data": {"id": 7}}, "7"),
    ],
)
def test_which_id_is_the_leads(body: dict[str, Any], lead_id: str) -> None:
    """lead_id first, then the lead's own id, then the body's."""
    (delivery,) = parse_body(orjson.dumps(body)).elements
    assert isinstance(delivery, Delivery)
    assert delivery.lead_id == lead_id


def test_versions_without_a_time_follow_the_bytes() -> None:
    """Updates without any time are the same only if their bytes are."""
    first, same, other = (
        parse_body(b'{"id":"L1","attributes":{"phone":"%s"}}' % x).elements[0] for x in (b"1", b"1", b"2")
    )
    assert isinstance(first, Delivery)
    assert isinstance(other, Delivery)
    assert first.version.startswith("sha256-")
    assert first == same
    assert first.event_id != other.event_id


def test_batch_keeps_each_elements_bytes_and_errors_in_place() -> None:
    """A batch is taken apart without re-encoding; a bad element does not spoil the others."""
    raw = b'[ {"id" : 1,"x":1.50}, 5, {"data":{}} ,{"lead_id":"L2","action":"on_create_lead","t":"\\u00e9"}]'
    body = parse_body(raw)
    first, second, third, fourth = body.elements
    assert body.batch
    assert body.timestamp is None
    assert isinstance(first, Delivery)
    assert isinstance(fourth, Delivery)
    assert first.payload == '{"id" : 1,"x":1.50}'
    assert fourth.payload == '{"lead_id":"L2","action":"on_create_lead","t":"\\u00e9"}'
    assert isinstance(second, BodyError)
    assert isinstance(third, BodyError)
    assert (second.code, third.code) == ("json_invalid", "lead_id_missing")


def test_nul_and_control_characters_inside_strings_are_kept() -> None:
    """\\u0000, line breaks and ANSI codes in a name are nobody's reason to refuse."""
    raw = b'{"id":"L1","attributes":{"customer":{"name":"A\\u0000\\r\\n\\u001b[31mB"}}}'
    (delivery,) = parse_body(raw).elements
    assert isinstance(delivery, Delivery)
    assert delivery.payload == raw.decode()


REFUSED = [
    # body                                             code
    (b"", "json_invalid"),
    (b"null", "json_invalid"),
    (b'"text"', "json_invalid"),
    (b"42", "json_invalid"),
    (b"{", "json_invalid"),
    (b'{"id":"L1"} x', "json_invalid"),
    (b'{"id":"L1","a":NaN}', "json_invalid"),
    (b'{"id":"L1","timestamp":NaN}', "json_invalid"),
    (b'{"id":"L1","timestamp":Infinity}', "json_invalid"),
    (b'{"id":"L1","a":1e400}', "json_invalid"),
    (b'{"id":"L1","a":"\\ud800"}', "json_invalid"),  # lone surrogate
    (b'{"id":"L1","a":"\xff"}', "json_invalid"),  # not UTF-8
    (b'{"id":"L1","a":"\x00"}', "json_invalid"),  # a raw NUL
    (b'{"id":"L1","a":' + b"9" * 5000 + b"}", "json_invalid"),
    (b'{"id":"L1","a":' + b"[" * 32 + b"]" * 32 + b"}", "json_invalid"),
    (b"[" * 100_000, "json_invalid"),
    (b'{"hook_action":"on_create_lead"}', "lead_id_missing"),
    (b'{"id":""}', "lead_id_missing"),
    (b'{"data":{"attributes":{}}}', "lead_id_missing"),
    (b'{"id":"' + b"x" * 10_000 + b'"}', "lead_id_invalid"),
    (b'{"id":"a\\nb"}', "lead_id_invalid"),
    (b'{"id":"a b"}', "lead_id_invalid"),
    (b'{"id":"{0}"}', "lead_id_invalid"),
    (b'{"id":"\xc3\xa9"}', "lead_id_invalid"),
    (b'{"id":true}', "lead_id_invalid"),
    (b'{"id":1.5}', "lead_id_invalid"),
    (b'{"id":-1}', "lead_id_invalid"),
    (b'{"id":{}}', "lead_id_invalid"),
    (b'{"id":"L1","action":7}', "action_invalid"),
    (b'{"id":"L1","action":"a\\nb"}', "action_invalid"),
    (b'{"id":"L1","action":"' + b"a" * 65 + b'"}', "action_invalid"),
]


@pytest.mark.parametrize(("raw", "code"), REFUSED, ids=[f"{r[:40]!r}" for r, _ in REFUSED])
def test_refused_bodies(raw: bytes, code: str) -> None:
    """What cannot be read or names no lead is refused with its code, in words that do not quote it."""
    with pytest.raises(BodyError) as raised:
        parse_body(raw)
    assert raised.value.code == code
    assert "L1" not in str(raised.value)


def test_depth_32_is_taken() -> None:
    """The depth limit counts brackets, not characters in strings."""
    deep = b'{"id":"L1","s":"' + b"[" * 500 + b'","a":' + b"[" * 31 + b"]" * 31 + b"}"
    assert isinstance(parse_body(deep).elements[0], Delivery)


BAD_TIMES = ['"abc"', '""', '"٣٠٠"', "1e400", "-1", "true", "[]", '"-5"', "1e15", "999999999999999"]
BAD_TIMES += ['"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"2025-13-01"', '"1e5"']


@pytest.mark.parametrize("time_text", BAD_TIMES)
def test_malformed_message_times(time_text: str) -> None:
    """A message's time that is none is refused as that, whatever is wrong with it."""
    with pytest.raises(BodyError) as raised:
        parse_body(f'{{"id":"L1","timestamp":{time_text}}}'.encode())
    assert raised.value.code == "timestamp_malformed"


@pytest.mark.parametrize("time_text", ['"abc"', "-1", "true"])
def test_malformed_times_where_they_prove_nothing(time_text: str) -> None:
    """A caller to whom the time proves nothing gets the webhook without one."""
    body = parse_body(f'{{"id":"L1","timestamp":{time_text}}}'.encode(), strict_time=False)
    assert isinstance(body.elements[0], Delivery)
    assert body.timestamp is None


def test_a_leads_own_time_never_refuses() -> None:
    """A malformed or ancient updated_at is the lead's affair."""
    for value in ("abc", 0, "1970-01-01T00:00:00Z"):
        raw = orjson.dumps({"id": "L1", "attributes": {"updated_at": value}})
        assert isinstance(parse_body(raw).elements[0], Delivery)


@pytest.mark.timeout(30)
def test_no_body_is_slow() -> None:
    """Unclosed strings full of escaped quotes cost one pass, not one for each quote (which takes minutes)."""
    raw = b"[" * 40 + b'"' + b'\\"' * 130_000
    with pytest.raises(BodyError, match="nests deeper"):
        parse_body(raw)


def test_stored_versions_are_utc() -> None:
    """The version of an update reads as a UTC time."""
    (delivery,) = parse_body(b'{"id":1,"attributes":{"updated_at":"2025-01-21T07:30:00-03:00"}}').elements
    assert isinstance(delivery, Delivery)
    assert datetime.fromisoformat(delivery.version) == datetime(2025, 1, 21, 10, 30, tzinfo=UTC)
