"""Slots: how many leads are in work, and how many are read ahead of the ends to come."""

import pytest
from support_work import work

from ops.settings import Settings
from processor.slots import Slots

MOST = 10


class Clock:
    """Monotonic seconds that a test sets forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slots(clock):
    return Slots(Settings.model_construct(processor_concurrency=MOST, c2s_rate_limit="0"), clock)


def ended(slots: Slots, count: int) -> None:
    for number in range(count):
        slots.started(work(number))
        slots.ending(work(number))
        slots.over(work(number), ending=True)


def full(slots: Slots) -> None:
    for number in range(MOST):
        slots.started(work(number))


def test_slow_leads_are_not_read_ahead(slots, clock):
    """What would wait for seconds is better left to another instance."""
    clock.now = 1.0
    ended(slots, 3)
    clock.now = 2.0
    full(slots)
    assert slots.to_read == 0


def test_as_many_are_read_ahead_as_will_have_ended_when_they_are_here(slots, clock):
    """At 200 a second, five end within the 25 ms of a read and an enter."""
    ended(slots, 200)
    clock.now = 1.0
    full(slots)
    assert slots.to_read == 5
    assert slots.free == 0  # the ticker's: nothing is taken over in advance
    with slots.claiming(5):
        assert slots.to_read == 0


def test_at_most_as_many_are_read_ahead_as_there_are_slots(slots, clock):
    ended(slots, 100_000)
    clock.now = 1.0
    full(slots)
    assert slots.to_read == MOST


def test_the_pace_is_forgotten_when_leads_no_longer_end(slots, clock):
    ended(slots, 100_000)
    clock.now = 1.0
    full(slots)
    assert slots.to_read
    clock.now = 2.0
    assert slots.to_read == 0


def test_leads_whose_end_is_being_recorded_take_no_slot_but_there_are_not_more_of_them_than_slots(slots):
    works = [work(number) for number in range(2 * MOST)]
    for one in works[:MOST]:
        slots.started(one)
        slots.ending(one)
    assert (slots.free, slots.idle) == (MOST, True)
    for one in works[MOST:]:
        slots.started(one)
        slots.ending(one)
    assert slots.free == 0
    for one in works:
        slots.over(one, ending=True)
    assert slots.free == MOST
