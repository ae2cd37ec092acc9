"""Identity: what was computed faster is what the standard says."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from schema.identity import EVENT_NAMESPACE, event_id_of
from schema.times import to_text


@given(st.text())
def test_an_event_id_is_the_uuid5_of_its_dedup_key(key):
    """Whatever the key: the same UUID that any library computes."""
    assert event_id_of(key) == str(uuid5(EVENT_NAMESPACE, key))


def test_a_stored_time_is_utc_with_microseconds():
    """Also where the time had another offset or no microseconds."""
    moment = datetime(2026, 1, 21, 7, 30, tzinfo=timezone(-timedelta(hours=3)))
    assert to_text(moment) == "2026-01-21T10:30:00.000000Z"
    assert to_text(datetime(2026, 1, 21, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-21T01:02:03.000004Z"
