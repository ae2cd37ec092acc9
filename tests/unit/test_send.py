"""Sending once, in handed-in time: intent, POST, its late effect, and the look at the lead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from processor.send import INTENT, SENT, SETTLE, Sender
from processor.work import Work
from schema.calls import Entry, Lease
from schema.errors import Ambiguous, LeaseLost, Throttled
from schema.events import WebhookAccepted
from schema.identity import marker
from schema.lead import Lead

SETTLE_S = 15.0
LEASE_TTL_S = 30.0
EVENT = WebhookAccepted(
    event_id="e",
    lead_id="L1",
    action="on_create_lead",
    version="",
    source="webhook",
    received_at=datetime.now(UTC),
)
TEXT = f"found\n{marker(EVENT.event_id)}"


@dataclass
class FakeC2S:
    """One lead. A POST that its caller gave up on is carried out ``late_s`` after it was made.

    Attributes:
        calls: what was asked, in order.
    """

    late_s: float = 0.0
    now_s: float = 1_000.0
    calls: list[str] = field(default_factory=list)
    arriving: list[tuple[float, str]] = field(default_factory=list)

    @property
    def messages(self) -> tuple[str, ...]:
        return tuple(text for at_s, text in self.arriving if at_s <= self.now_s)

    async def get_lead(self, lead_id: str) -> Lead:
        self.calls.append("get")
        return Lead(lead_id, None, self.messages)

    async def create_message(self, _lead_id: str, body: str) -> None:
        self.calls.append("post")
        self.arriving.append((self.now_s + self.late_s, body))
        if self.late_s:
            raise Ambiguous("no answer in time", code="c2s_timeout", api="c2s")


@dataclass
class FakeStore:
    """The steps of the event; every lease is good."""

    steps: dict[str, str] = field(default_factory=dict)
    recorded: Callable[[], None] = lambda: None

    async def record(self, _lease: Lease, _event_id: str, steps: Mapping[str, str], **_: bool) -> None:
        self.steps.update(steps)
        self.recorded()


def attempt(c2s: FakeC2S, store: FakeStore, *, verify: bool = False) -> Work:
    """A new attempt, whose lease was taken this very moment."""
    return Work(
        Entry("1-0", EVENT),
        Lease("k", "p1", round(c2s.now_s * 1e6)),
        1,
        verify,
        dict(store.steps),
        lease_ttl_s=LEASE_TTL_S,
        renewed_at=c2s.now_s,
        clock=lambda: c2s.now_s,
    )


def sender(c2s: FakeC2S, store: FakeStore) -> Sender:
    return Sender(c2s, store, policy="verify", settle_s=SETTLE_S)


async def test_a_send_that_may_still_arrive_is_not_looked_for_before_it_has_settled():
    """The POST lands after an early look would have missed it: nobody looks so early, one message is sent."""
    c2s, store = FakeC2S(late_s=SETTLE_S - 1), FakeStore()
    with pytest.raises(Ambiguous) as doubt:
        await sender(c2s, store).send_once(attempt(c2s, store), TEXT)
    assert doubt.value.retry_after_s == SETTLE_S
    c2s.now_s += 2
    with pytest.raises(Throttled) as wait:
        await sender(c2s, store).send_once(attempt(c2s, store), TEXT)
    assert wait.value.retry_after_s == pytest.approx(SETTLE_S - 2, abs=0.01)
    assert c2s.calls == ["post"]
    c2s.now_s += wait.value.retry_after_s
    assert await sender(c2s, store).send_once(attempt(c2s, store), TEXT) == marker(EVENT.event_id)
    assert c2s.calls == ["post", "get"]
    assert c2s.messages == (TEXT,)


async def test_an_intent_that_was_lost_with_its_entry_settles_from_its_recovery():
    """A recovered event may have a message on its way of which no intent is left: the look waits, too."""
    c2s = FakeC2S()
    c2s.arriving.append((c2s.now_s + SETTLE_S - 1, TEXT))
    store = FakeStore({SETTLE: f"{c2s.now_s:.6f}"})
    with pytest.raises(Throttled) as wait:
        await sender(c2s, store).send_once(attempt(c2s, store, verify=True), TEXT)
    assert c2s.calls == []
    c2s.now_s += wait.value.retry_after_s or 0
    await sender(c2s, store).send_once(attempt(c2s, store, verify=True), TEXT)
    assert c2s.calls == ["get"]
    assert c2s.messages == (TEXT,)


async def test_who_slept_past_the_lease_sends_nothing():
    """The process is stopped between its intent and the POST: when it wakes, another may own the lead."""
    c2s, store = FakeC2S(), FakeStore()

    def asleep() -> None:
        c2s.now_s += LEASE_TTL_S

    store.recorded = asleep
    with pytest.raises(LeaseLost):
        await sender(c2s, store).send_once(attempt(c2s, store), TEXT)
    assert c2s.calls == []
    # Nor does it touch what it left: the new owner finds an intent, and looks before it sends.
    assert store.steps[INTENT]
    assert SENT not in store.steps
