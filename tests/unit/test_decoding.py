"""Entries decoded together are what each of them is alone."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.batch import fact_of
from projections.decoding import Entry, facts_of
from scale.generator import facts, now

SOME = list(facts(60, now() - timedelta(minutes=1), now()))
GOOD = [
    (fact.entry_id.encode(), [text.encode() for pair in fact.fields.items() for text in pair])
    for fact in SOME
    if fact.stream == "outcomes"
]


def changed(name: bytes, value: bytes) -> list[bytes]:
    """A good entry's fields, one of them with another value."""
    _, items = GOOD[0]
    place = items.index(name) + 1
    return [*items[:place], value, *items[place + 1 :]]


ALIEN = [
    changed(b"event_id", b"6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
    changed(b"event_id", b"6ba7b8109dad-11d1-80b4-00c04fd430c8-"),
    changed(b"event_id", b""),
    changed(b"type", b"no_such_type"),
    changed(b"attempt", b"-1"),
    changed(b"attempt", b"99999999999"),
    changed(b"fence", b"9223372036854775808"),
    changed(b"fence", b"many"),
    changed(b"at", b"2026-01-01T00:00:00"),
    changed(b"at", b"0001-01-01T00:00:00Z"),
    changed(b"at", b"9999-12-31T00:00:00Z"),
    changed(b"instance", b"a\0b"),
    changed(b"instance", b"\xff\xfe"),
    [*GOOD[0][1], b"a\0b", b"c\0d"],
    [*GOOD[0][1], b"\xff", b"x"],
    [*GOOD[0][1], b"new", b"field"],
    [b"x", b"y"],
    [b"", b""],
]


def alone(entries: list[Entry]) -> list[object]:
    return [
        fact_of(0, "outcomes", entry_id.decode(), dict(zip(items[::2], items[1::2], strict=True)))
        for entry_id, items in entries
    ]


def test_good_entries():
    """Each is the fact that was appended."""
    assert facts_of(0, "outcomes", GOOD) == [fact for fact in SOME if fact.stream == "outcomes"]


@pytest.mark.parametrize("items", ALIEN)
def test_an_alien_entry_among_good_ones(items):
    """It is what it is alone, and so are the others."""
    entries = [*GOOD[:5], (b"1-1", items), *GOOD[5:]]
    assert facts_of(0, "outcomes", entries) == alone(entries)


@given(st.lists(st.lists(st.tuples(st.binary(), st.binary()), min_size=1), max_size=5))
def test_anything(entries):
    """Whatever a stream holds."""
    made = [(b"%d-0" % n, [part for pair in pairs for part in pair]) for n, pairs in enumerate(entries)]
    assert facts_of(0, "outcomes", made) == alone(made)


def test_nothing():
    """No entries, no facts."""
    assert facts_of(0, "webhooks", []) == []
