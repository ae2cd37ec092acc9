"""What a lead of C2S's list ought to have on record, and lacks."""

from datetime import UTC, datetime, timedelta

import pytest

from ops.sandbox.webhooks import body_of
from processor.reconcile.missing import Known, missing_of
from processor.reconcile.runs import Due
from processor.reconcile.service import look_back
from schema.errors import BodyError
from schema.identity import CLOSE, CREATE, UPDATE
from schema.times import to_text
from schema.webhook import parse_body

NOON = datetime(2026, 1, 21, 12, 0, 0, 500_000, tzinfo=UTC)
SINCE = NOON - timedelta(hours=24)
CUSTOMER = {"name": "Pessoa Inventada", "email": "p@example.com"}


def lead(created: datetime = NOON, updated: datetime = NOON, **attributes: object) -> dict:
    times = {"created_at": created.isoformat(), "updated_at": updated.isoformat()}
    return {"type": "lead", "id": "L1", "attributes": {"customer": CUSTOMER, **times, **attributes}}


def event(action: str, said: datetime | None = NOON, came: datetime = NOON, sent_at=None) -> Known:
    return Known(action, to_text(said) if said else "sha256-0", came, sent_at)


def actions(listed: dict, *known: Known) -> list[str]:
    return [delivery.action for delivery in missing_of(listed, SINCE, known)]


ARCHIVED = {"archive_details": {"archived": True}}
LATER = NOON + timedelta(minutes=5)
OLD = SINCE - timedelta(days=3)
SECOND = NOON.replace(microsecond=0)


@pytest.mark.parametrize(
    ("listed", "known", "expected"),
    [
        (lead(), [], [CREATE]),
        (lead(), [event(CREATE)], []),
        (lead(), [event(UPDATE)], []),  # an update that came is as good as the creation
        (lead(updated=LATER), [], [CREATE]),  # the creation holds the present state
        (lead(updated=LATER), [event(CREATE)], [UPDATE]),
        (lead(updated=LATER), [event(CREATE), event(UPDATE, LATER)], []),
        (lead(created=OLD), [], [UPDATE]),  # created before we look back: its update is missing
        (lead(created=OLD), [event(CREATE, OLD, OLD)], [UPDATE]),
        (lead(), [event(CREATE, SECOND)], []),  # the seed's whole seconds
        (lead(), [event(CREATE, None, NOON + timedelta(seconds=1))], []),  # no time: when it came counts
        (lead(), [event(CREATE, None, NOON - timedelta(seconds=1))], [UPDATE]),
        (lead(updated=LATER), [event(CREATE, sent_at=LATER - timedelta(seconds=3))], []),  # our own message
        (lead(updated=LATER), [event(CREATE, sent_at=NOON)], [UPDATE]),
        (lead(**ARCHIVED), [event(CREATE)], [CLOSE]),
        (lead(**ARCHIVED), [], [CREATE, CLOSE]),
        (lead(done_details={"done": True}), [event(CREATE), event(CLOSE)], []),
    ],
)
def test_what_is_missing(listed, known, expected):
    """Creation, update and close are asked for only where no event covers what C2S says."""
    assert actions(listed, *known) == expected


@pytest.mark.parametrize("action", [CREATE, UPDATE, CLOSE])
def test_a_missing_event_has_the_id_of_its_webhook(action):
    """Whichever shape the webhook would have had, its event is the same one."""
    attributes = lead(**ARCHIVED)["attributes"]
    known = {CREATE: [], UPDATE: [event(CREATE, OLD, OLD), event(CLOSE, OLD, OLD)], CLOSE: [event(CREATE)]}
    [found] = [d for d in missing_of(lead(**ARCHIVED), SINCE, known[action]) if d.action == action]
    for shape in ("attributes", "data", "lead"):
        [webhook] = parse_body(body_of("L1", action, shape, NOON, attributes)).elements
        assert (webhook.event_id, webhook.dedup_key) == (found.event_id, found.dedup_key)


def test_a_lead_without_a_usable_id_is_refused():
    """It cannot be an event, so it cannot be missing."""
    with pytest.raises(BodyError, match="lead id"):
        missing_of({"id": "no such {id}"}, SINCE, [])


def test_a_scheduled_run_looks_back_a_little_before_the_last_one():
    """24 hours at first, later to ten minutes before the last run, never more than a week."""
    assert look_back(Due(0, None, NOON)) == NOON - timedelta(hours=24)
    assert look_back(Due(0, NOON - timedelta(hours=1), NOON)) == NOON - timedelta(minutes=70)
    assert look_back(Due(0, NOON - timedelta(days=30), NOON)) == NOON - timedelta(days=7)
