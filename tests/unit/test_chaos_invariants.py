"""The storm's invariants see what they are there to see: each is shown a record that breaks it."""

import pytest

from chaos.facts import Facts, order_of
from chaos.invariants import verdicts
from chaos.sender import Accepted
from chaos.takeover import takeovers

A, B = "event-a", "event-b"


def entry(entry_id, event_id, kind="webhook_accepted", fence=0, instance="processor-1"):
    return {
        "type": kind,
        "event_id": event_id,
        "lead_id": "lead",
        "entry_id": entry_id,
        "order": order_of(entry_id),
        "fence": fence,
        "instance": instance,
        "at": order_of(entry_id)[0] / 1000,
    }


def started(entry_id, event_id, fence, instance="processor-1"):
    return entry(entry_id, event_id, "processing_started", fence, instance)


def processed(entry_id, event_id, fence):
    return entry(entry_id, event_id, "lead_processed", fence)


LEADS = {"lead": [Accepted(A, "accepted", 1), Accepted(B, "accepted", 1)]}
LOG = [
    started("1000-0", A, 1),
    processed("2000-0", A, 1),
    started("2000-1", B, 2),
    processed("3000-0", B, 2),
]


def record(**other):
    row = {"lead_id": "lead", "status": "success", "result": "sent", "error_code": None}
    whole = {
        "rows": {A: row, B: {**row, "result": "recorded"}},
        "entries": [entry("900-0", A), entry("950-0", B)],
        "log": LOG,
        "messages": {"lead": [{"body": "Olá\n[ref a]"}]},
        "left": [],
    }
    return Facts(**{**whole, **other})


def broken(facts, leads=LEADS):
    """The number (from 0) of each invariant that breaks."""
    return [n for n, found in enumerate(verdicts(facts, leads, lease_s=3.0).values()) if found]


def test_a_whole_record_breaks_nothing():
    """An orderly record holds every invariant."""
    assert broken(record()) == []


ROWS = record().rows


@pytest.mark.parametrize(
    ("number", "facts"),
    [
        (0, record(rows={A: ROWS[A]})),
        (0, record(rows={**ROWS, B: {**ROWS[B], "status": "processing"}})),
        (1, record(entries=[entry("900-0", A)])),
        (1, record(entries=[entry("900-0", A), entry("950-0", B), entry("960-0", B)])),
        (2, record(messages={"lead": [{"body": "x\n[ref a]"}, {"body": "y\n[ref a]"}]})),
        (2, record(messages={})),
        (3, record(log=[*LOG[:3], processed("2500-0", A, 1), LOG[3]])),
        (3, record(log=[LOG[0], started("1500-0", A, 2, "processor-2"), processed("2000-0", A, 2)])),
        (4, record(log=[started("1-0", B, 1), processed("2-0", B, 1), started("3-0", A, 2)])),
        (5, record(entries=[entry("950-0", B), entry("990-0", A)])),
        (6, record(left=["c2s:{0}:lead:processing:lead"])),
    ],
    ids=[
        "no row",
        "not final",
        "not archived",
        "appended twice",
        "messaged twice",
        "sent without a message",
        "an older fence after a newer",
        "taken before the lease's end",
        "worked on out of order",
        "in the stream out of order",
        "something left in Redis",
    ],
)
def test_what_breaks_an_invariant_is_seen(number, facts):
    """Each kind of broken promise is found by the invariant that is there for it."""
    assert number in broken(facts)


def test_order_is_not_asked_where_it_is_not_promised():
    """A spooled webhook may be overtaken by one that was appended; two spooled at once may not."""
    swapped = record(entries=[entry("950-0", B), entry("990-0", A)])
    one, other = Accepted(A, "spooled", 1), Accepted(B, "accepted", 1)
    assert 5 not in broken(swapped, {"lead": [one, other]})
    assert 5 in broken(swapped, {"lead": [one, Accepted(B, "spooled", 1)]})
    assert 5 not in broken(swapped, {"lead": [one, Accepted(B, "overtook", 1)]})


def test_takeovers_are_counted_from_the_kill_or_the_servers_return():
    """Only leads in work at the kill count; an outage in between is not the processors' time."""
    log = [
        started("1000-0", A, 1),
        started("6000-0", A, 2, "processor-2"),
        processed("7000-0", A, 2),
    ]
    assert takeovers([(2.0, "processor-1")], log, []) == [4.0]
    assert takeovers([(2.0, "processor-1")], log, [[3.0, 5.0]]) == [1.0]
    assert takeovers([(2.0, "processor-3"), (8.0, "processor-2")], log, []) == []
