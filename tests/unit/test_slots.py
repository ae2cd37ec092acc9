"""Slots: how many leads are in work, and how many are read ahead of the ends to come."""

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from ops.settings import Settings
from processor.slots import Slots
from processor.work import Work
from schema.calls import Entry, Lease
from schema.events import WebhookAccepted

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


def work(number: int) -> Work:
    event = WebhookAccepted(
        event_id=f"e{number}",
        lead_id=f"lead-{number}",
        action="on_create_lead",
        version="",
        source="webhook",
        received_at=datetime.now(UTC),
        payload="{}",
    )
    lease = Lease("c2s:{0}:lead:processing:lead", "me", 1)
    return Work(Entry(f"{number}-0", event), lease, 1, False, {}, lease_ttl_s=30.0, renewed_at=0.0)


def ended(slots: Slots, count: int) -> None:
    for number in range(count):
        with slots.working(work(number)), slots.ending(work(number)):
            pass


def full(slots: Slots) -> ExitStack:
    stack = ExitStack()
    for number in range(MOST):
        stack.enter_context(slots.working(work(number)))
    return stack


def test_slow_leads_are_not_read_ahead(slots, clock):
    """What would wait for seconds is better left to another instance."""
    clock.now = 1.0
    ended(slots, 3)
    clock.now = 2.0
    with full(slots):
        assert slots.to_read == 0


def test_as_many_are_read_ahead_as_will_have_ended_when_they_are_here(slots, clock):
    """At 200 a second, three end within the 15 ms of a read and an enter."""
    ended(slots, 200)
    clock.now = 1.0
    with full(slots):
        assert slots.to_read == 3
        assert slots.free == 0  # the ticker's: nothing is taken over in advance
        with slots.claiming(3):
            assert slots.to_read == 0


def test_at_most_half_the_slots_are_read_ahead(slots, clock):
    ended(slots, 100_000)
    clock.now = 1.0
    with full(slots):
        assert slots.to_read == MOST // 2


def test_the_pace_is_forgotten_when_leads_no_longer_end(slots, clock):
    ended(slots, 100_000)
    clock.now = 1.0
    with full(slots):
        assert slots.to_read
        clock.now = 2.0
        assert slots.to_read == 0


async def test_what_was_read_ahead_waits_for_its_turn(slots):
    """However many were entered, no more than the setting says are in work at once."""
    at_once: list[int] = []
    running = 0

    async def lead() -> None:
        nonlocal running
        async with slots.turns:
            running += 1
            at_once.append(running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(lead() for _ in range(3 * MOST)))
    assert max(at_once) == MOST
    assert len(at_once) == 3 * MOST
