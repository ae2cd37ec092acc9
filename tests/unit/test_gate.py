"""The gate between pipeline and outside: turns, pauses, and what a failure becomes."""

from datetime import UTC, datetime

import pytest

from processor.budget import PAUSE_S, Grant
from processor.gate import Gate
from processor.outside.answers import Malformed
from processor.work import Work, current_work
from schema.budget import Priority, Turned, priority_of
from schema.calls import Entry, Lease
from schema.errors import (
    Ambiguous,
    CircuitOpen,
    LeaseLost,
    Permanent,
    Retryable,
    StorageUnavailable,
    Throttled,
    Unauthorized,
)
from schema.events import WebhookAccepted
from schema.identity import CLOSE, CREATE, UPDATE

CLOSED = Turned(now=False, open_s=0)


class FakeTurns:
    """Gives every turn; remembers what it was told."""

    def __init__(self, turned: Turned = CLOSED, probe: bool = False) -> None:
        self.turned, self.probe = turned, probe
        self.acquired: list[tuple[str, Priority]] = []
        self.told: list[object] = []

    async def acquire(self, api, priority, begun=None):
        self.acquired.append((api, priority))
        return Grant(api, str(len(self.acquired)), self.probe)

    async def pause(self, api, seconds):
        self.told.append(("pause", api, seconds))

    async def failed(self, grant):
        self.told.append(("failed", grant.api))
        return self.turned

    async def answered(self, grant):
        self.told.append(("answered", grant.api))


def event(action: str = CREATE, source: str = "webhook") -> WebhookAccepted:
    return WebhookAccepted(
        event_id="e", lead_id="L1", action=action, version="v", source=source, received_at=datetime.now(UTC)
    )


def work(**changes: object) -> Work:
    made = Work(Entry("1-0", event()), Lease("k", "p1", 1), 1, False, {}, lease_ttl_s=30, renewed_at=0)
    made.clock = lambda: 0.0
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def at_work():
    made = work()
    token = current_work.set(made)
    yield made
    current_work.reset(token)


@pytest.mark.parametrize(
    ("made", "priority"),
    [
        (event(), Priority.NEW),
        (event(CLOSE, "replay"), Priority.NEW),
        (event(UPDATE), Priority.UPDATE),
        (event(UPDATE, "followup"), Priority.UPDATE),
        (event(CREATE, "trigger"), Priority.TRIGGER),
        (event(CREATE, "replay"), Priority.REPLAY),
        (event(UPDATE, "reconcile"), Priority.RECONCILE),
    ],
)
def test_the_place_of_an_event(made, priority):
    """Where it came from decides, then what happened."""
    assert priority_of(made) == priority


async def test_a_call_takes_one_turn_at_its_leads_priority(at_work):
    """And it is counted."""
    turns = FakeTurns()
    gate = Gate(turns)
    await gate.before("work", "cpf")
    assert await gate.after("work", None) is None
    assert (turns.acquired, turns.told) == ([("work", Priority.NEW)], [("answered", "work")])
    assert at_work.calls == {"work": 1}


async def test_a_reserved_turn_is_used_once(at_work):
    """The send's turn, taken before its intent, serves the POST; the next call takes another."""
    turns = FakeTurns()
    gate = Gate(turns)
    await gate.reserve(at_work, "c2s")
    await gate.before("c2s", "create_message")
    assert len(turns.acquired) == 1
    await gate.before("c2s", "get_lead")
    assert len(turns.acquired) == 2


async def test_calls_outside_any_work_come_last():
    """Reconcile has no work of a lead."""
    turns = FakeTurns()
    await Gate(turns).before("c2s", "list_leads")
    assert turns.acquired == [("c2s", Priority.RECONCILE)]


async def test_a_sleeper_does_not_send(at_work):
    """Between intent and POST, a lease that may have lapsed stops the call."""
    at_work.sending, at_work.clock = True, lambda: 29.0
    with pytest.raises(LeaseLost):
        await Gate(FakeTurns()).before("c2s", "create_message")


@pytest.mark.parametrize(("asked", "pause_s"), [(7.0, 7.0), (None, PAUSE_S)])
async def test_a_429_pauses_the_fleet(at_work, asked, pause_s):
    """For as long as asked; it is no failure."""
    turns = FakeTurns()
    gate = Gate(turns)
    await gate.before("c2s", "get_lead")
    error = Throttled("429", code="c2s_throttled", api="c2s", retry_after_s=asked)
    assert await gate.after("c2s", error) is error
    assert turns.told == [("pause", "c2s", pause_s), ("answered", "c2s")]


@pytest.mark.parametrize(
    "error",
    [
        Permanent("404", code="lead_gone", api="c2s"),
        Unauthorized("401", code="c2s_unauthorized", api="c2s"),
        Malformed("html", code="c2s_malformed", api="c2s"),
    ],
)
async def test_an_answer_is_no_failure(at_work, error):
    """Whatever it says, the API is there; and nobody else is paused for it."""
    turns = FakeTurns()
    gate = Gate(turns)
    await gate.before("c2s", "get_lead")
    assert await gate.after("c2s", error) is error
    assert turns.told == [("answered", "c2s")]


RESET = Retryable("reset", code="c2s_reset", api="c2s")


@pytest.mark.parametrize(
    ("turned", "probe", "becomes"),
    [
        (Turned(now=False, open_s=0), False, Retryable),  # closed
        (Turned(now=True, open_s=30), False, Retryable),  # the failure that opened it
        (Turned(now=False, open_s=30), False, CircuitOpen),  # was under way when it opened
        (Turned(now=True, open_s=60), True, CircuitOpen),  # the probe
    ],
)
async def test_failures_of_an_open_circuit_spend_no_attempt(at_work, turned, probe, becomes):
    """Only failures that came while it was closed count as attempts."""
    gate = Gate(FakeTurns(turned, probe))
    await gate.before("c2s", "get_lead")
    assert type(await gate.after("c2s", RESET)) is becomes


async def test_an_ambiguous_failure_stays_ambiguous(at_work):
    """The sender must learn that the message may be there."""
    gate = Gate(FakeTurns(Turned(now=True, open_s=60), probe=True))
    await gate.before("c2s", "create_message")
    error = Ambiguous("reset", code="c2s_reset", api="c2s")
    assert await gate.after("c2s", error) is error


async def test_redis_away_changes_no_error(at_work):
    """What cannot be told is not told."""

    class Away(FakeTurns):
        async def failed(self, grant):
            raise StorageUnavailable("away")

    gate = Gate(Away())
    await gate.before("c2s", "get_lead")
    assert await gate.after("c2s", RESET) is RESET
