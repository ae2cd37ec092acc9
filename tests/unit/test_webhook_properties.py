"""What holds of every body, whatever is in it: shapes, ids and times that nobody wrote down."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import BodyError
from schema.identity import ACTIONS, CREATE, UPDATE, dedup_key, is_lead_id, partition_of, version_of_body
from schema.lead import lead_of
from schema.times import from_text, parse, to_text
from schema.webhook import Body, Delivery, parse_body

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", fullmatch=True)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 -- the zone is drawn
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
WORDS = "id lead_id action hook_action data lead attributes customer updated_at timestamp phone email log"
NAMES = st.sampled_from(WORDS.split()) | st.text(max_size=8)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5)
)
OBJECTS = st.dictionaries(NAMES, ANY_JSON, max_size=6)


def spellings(moment: datetime) -> list[Any]:
    """Every way in which C2S writes a moment of whole seconds (C2S.md §1)."""
    seconds = int(moment.timestamp())
    utc = moment.astimezone(UTC)
    return [
        *(seconds, str(seconds), utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%Y-%m-%d %H:%M:%S")),
        *(moment.isoformat(), moment.strftime("%Y-%m-%d %H:%M:%S.000 %z")),
        # Milliseconds up to the autumn of 1973 would read as seconds.
        *([seconds * 1000, str(seconds * 1000)] if seconds > 10**8 else []),
    ]


def shapes(lead_id: Any, time: Any) -> list[dict[str, Any]]:
    """Every shape, each with the id and the time in its own place."""
    return [
        {"lead_id": lead_id, "action": UPDATE, "timestamp": time},
        {"id": lead_id, "hook_action": UPDATE, "attributes": {"updated_at": time, "customer": {}}},
        {"hook_action": UPDATE, "data": {"type": "lead", "id": lead_id, "attributes": {}}, "timestamp": time},
        {"hook_action": UPDATE, "lead": {"id": lead_id, "attributes": {"updated_at": time}}},
        {"data": {"id": lead_id, "attributes": {"updated_at": time}}},
    ]


def parsed(raw: bytes, **how: Any) -> Body | str:
    """The body, or the code of the error that refuses it: nothing else may come out."""
    try:
        return parse_body(raw, **how)
    except BodyError as error:
        return error.code


@given(IDS, MOMENTS)
def test_one_event_however_it_is_written(lead_id: str, moment: datetime) -> None:
    """All shapes and spellings of an update of one lead at one time are one event."""
    whole = moment.replace(microsecond=0)
    deliveries = [
        parse_body(orjson.dumps(body)).elements[0]
        for time in spellings(whole)
        for body in shapes(lead_id, time)
    ]
    assert {(d.lead_id, d.action, d.version) for d in deliveries if isinstance(d, Delivery)} == {
        (lead_id, UPDATE, to_text(whole))
    }
    assert len({d.event_id for d in deliveries if isinstance(d, Delivery)}) == 1
    assert not any(isinstance(d, BodyError) for d in deliveries)


@given(st.integers(0, 10**30), MOMENTS)
def test_numbers_are_ids(number: int, moment: datetime) -> None:
    """An id that came as a number is the id of its digits, as far as JSON readers carry numbers."""
    for time in spellings(moment)[:1]:
        for body in shapes("#", time):
            raw = orjson.dumps(body)
            as_number = parsed(raw.replace(b'"#"', str(number).encode()))
            as_text = parsed(raw.replace(b'"#"', f'"{number}"'.encode()))
            assert isinstance(as_text, Body)
            (text,) = as_text.elements
            assert isinstance(text, Delivery)
            if number < 2**64:
                assert isinstance(as_number, Body)
                (same,) = as_number.elements
                assert isinstance(same, Delivery)
                assert (same.lead_id, same.event_id) == (text.lead_id, text.event_id)
            else:
                assert as_number == "lead_id_invalid"


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    """Bytes are taken or refused with a code."""
    result = parsed(raw)
    assert isinstance(result, Body) or result in ("json_invalid", "lead_id_missing", "lead_id_invalid",
        "action_invalid", "timestamp_malformed")  # fmt: skip


@given(OBJECTS, st.none() | st.sampled_from(sorted(ACTIONS)))
def test_any_object(value: dict[str, Any], default: str | None) -> None:
    """Any object is a sound delivery with its bytes untouched, or refused; same bytes, same event."""
    raw = orjson.dumps(value)
    result = parsed(raw, default_action=default)
    if isinstance(result, str):
        return
    (delivery,) = result.elements
    assert isinstance(delivery, Delivery)
    assert delivery.payload.encode() == raw
    assert is_lead_id(delivery.lead_id)
    assert delivery.action.isprintable()
    assert parsed(raw, default_action=default) == result


@given(st.lists(OBJECTS | SCALARS, max_size=6), st.sampled_from(["", " ", "\n\t "]))
def test_a_batch_is_its_elements(values: list[Any], space: str) -> None:
    """Each element of a batch is what it would be alone, and one bad element spoils no other."""
    raws = [orjson.dumps(v) for v in values]
    gap = space.encode()
    body = parse_body(b"[" + gap + (gap + b"," + gap).join(raws) + gap + b"]")
    assert len(body.elements) == len(values)
    for element, value, raw in zip(body.elements, values, raws, strict=True):
        alone = parsed(raw, strict_time=False)
        if isinstance(element, BodyError):
            assert element.code == (alone if isinstance(value, dict) else "json_invalid")
        else:
            assert isinstance(alone, Body)
            assert alone.elements == (element,)


@given(OBJECTS, IDS)
def test_a_lead_is_read_from_anything(value: dict[str, Any], lead_id: str) -> None:
    """Reading the customer never fails, and never gives one without a contact."""
    lead = lead_of(lead_id, value)
    assert lead.lead_id == lead_id
    if lead.customer is not None:
        assert lead.customer.email or lead.customer.phones
        assert all(phone.strip() == phone != "" for phone in lead.customer.phones)
        assert len(set(lead.customer.phones)) == len(lead.customer.phones)


@given(MOMENTS)
def test_every_spelling_of_a_time_is_that_time(moment: datetime) -> None:
    """Parsing finds the moment; its stored form reads back and sorts like time."""
    whole = moment.replace(microsecond=0)
    assert {parse(s) for s in spellings(whole)} == {whole.astimezone(UTC)}
    assert from_text(to_text(moment)) == moment
    assert (to_text(moment) < to_text(moment + timedelta(microseconds=1))) is True


@given(SCALARS | st.floats() | st.lists(st.integers(), max_size=2))
def test_anything_else_is_no_time(value: Any) -> None:
    """A value is a time between 1970 and 9998, or a ValueError."""
    try:
        moment = parse(value)
    except ValueError:
        return
    assert datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime(9999, 1, 1, tzinfo=UTC)


@given(IDS, MOMENTS, st.binary(max_size=50))
def test_identity(lead_id: str, moment: datetime, raw: bytes) -> None:
    """Create and close are one event per lead, an update one per version; a lead is in one partition."""
    versions = [to_text(moment), version_of_body(raw)]
    assert len({dedup_key(lead_id, CREATE, v) for v in versions}) == 1
    assert len({dedup_key(lead_id, UPDATE, v) for v in versions}) == 2
    for partitions in (1, 2, 1024):
        assert 0 <= partition_of(lead_id, partitions) < partitions


@pytest.mark.parametrize("depth", [30, 31, 32, 33, 200])
@given(st.text(alphabet='[]{}"\\a', max_size=40))
def test_depth_counts_brackets_not_characters(depth: int, text: str) -> None:
    """However many brackets stand in strings, only real nesting over 32 is refused."""
    inner = orjson.dumps(text)
    raw = b'{"id":"L1","a":' + b"[" * depth + inner + b"]" * depth + b"}"
    assert (parsed(raw) == "json_invalid") is (depth + 1 > 32)
