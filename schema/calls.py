"""Arguments and replies of the scripts, typed: the Python half of `schema/lua`.

Pure: a builder returns a `ScriptCall`, a reader takes the raw reply (bytes, ints, lists) apart. Every call
takes a batch; a single step is a batch of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from schema.budget import Priority, priority_of
from schema.events import (
    AttemptFailed,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    WebhookAccepted,
    encode,
    flat_fields,
    texts_of,
)
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script
from schema.times import to_text


class Forward(NamedTuple):
    """A copy of a request, to be passed on.

    Attributes:
        id: the event's id; of a batch an id of its own, made from its bytes.
        headers: as a JSON object.
        body: as the codec stores it; empty where it is the event's payload.
    """

    id: str
    headers: str
    body: str = ""


class Appending(NamedTuple):
    """One webhook on its way into the stream.

    Attributes:
        known: False for an action that is recorded but never processed.
        forward: what is stored with it to be passed on; None for nothing.
    """

    event: WebhookAccepted
    dedup_key: str
    known: bool = True
    forward: Forward | None = None


class Appended(NamedTuple):
    """What became of it.

    Attributes:
        fresh: False where the same webhook had been accepted before.
        event_id: of the event first accepted under the dedup key.
        entry_id: the new stream entry, or empty for a duplicate.
    """

    fresh: bool
    event_id: str
    entry_id: str


def append(
    keys: Keys,
    items: Sequence[Appending],
    *,
    dedup_ttl_s: int,
    instance: str,
    again: bool = False,
    only_known: bool = False,
) -> ScriptCall:
    """Accept webhooks.

    Args:
        keys: of the partition.
        items: the webhooks.
        dedup_ttl_s: how long a repeat is known as one.
        instance: who appends.
        again: an earlier call with these items may have succeeded.
        only_known: only repeats of what this partition has; the others are answered with an empty event id.
    """
    names = [keys.webhooks, keys.outcomes, keys.forwards]
    args = [str(dedup_ttl_s), instance, "1" if again else "0", "1" if only_known else "0"]
    dedup, queue = keys.dedup(""), keys.queue("")  # made once: a busy door's batches are large
    for item in items:
        e, forward = item.event, item.forward
        args += (
            "accept" if item.known else "ignore", e.event_id, e.lead_id, e.action, e.version, e.source,
            to_text(e.received_at), e.traceparent, e.payload, "3" if forward else "0",
        )  # fmt: skip
        if forward:
            args += forward
        names += (dedup + item.dedup_key, queue + e.lead_id)
    return ScriptCall(script("append"), names, args)


def read_append(reply: Sequence[Any]) -> list[Appended]:
    return [Appended(row[0] == 1, row[1].decode(), row[2].decode()) for row in reply]


# Where updates come in bursts; a replay, a follow-up or a waiting caller stands for itself.
BURSTS = frozenset({"webhook", "reconcile"})


class Entry(Struct, frozen=True):
    """A webhooks entry in an instance's hands: its id in the stream and its event."""

    entry_id: str
    event: WebhookAccepted

    @property
    def priority(self) -> Priority:
        """Its event's."""
        return priority_of(self.event)

    @property
    def is_low(self) -> bool:
        """Whether it ranks below new leads, so that it needs one of the few slots for such."""
        return self.priority > Priority.NEW


class Lease(Struct, frozen=True):
    """The right to work on one lead, until it lapses or is finished.

    Attributes:
        value: what the lease key holds, ``<instance>|<fence>``; whoever cannot show it changes nothing.
    """

    key: str
    instance: str
    fence: int

    @property
    def value(self) -> str:
        return f"{self.instance}|{self.fence}"


class Entered(Struct, frozen=True):
    """The answer to an entry that asked to be worked on.

    Attributes:
        state: ``run`` (lease taken), ``wait`` (another of the lead goes first), ``later`` (not due yet),
            ``busy`` (another instance has it), ``parked`` (no slot for its priority) or ``gone`` (not ours
            any more).
        lease: where ``run``.
        attempt: number of this attempt, from 1.
        verify: an earlier attempt ended unseen: read the lead before sending.
        steps: the finished steps by name, as recorded.
        expired: the attempt before this one never ended: its owner crashed or lost the lease.
        superseded_by: event id of a newer update of the lead that waits behind this one, or empty.
        contact: fingerprint of the contact that the lead's last processed event had, or empty.
        due_s: seconds until it is due, where ``later``.
    """

    state: Literal["run", "wait", "later", "busy", "parked", "gone"]
    lease: Lease | None = None
    attempt: int = 0
    verify: bool = False
    steps: dict[str, str] = {}
    expired: bool = False
    superseded_by: str = ""
    contact: str = ""
    due_s: float = 0.0


def enter(
    keys: Keys,
    entries: Sequence[Entry],
    *,
    instance: str,
    lease_ttl_s: float,
    steps_ttl_s: int,
    wake: bool,
    low_slots: int = 1_000,
    update_settle_s: float = 0.0,
) -> ScriptCall:
    """Ask to work on entries.

    Args:
        keys: of the partition.
        entries: in the caller's hands.
        instance: the caller.
        lease_ttl_s: life of the leases.
        steps_ttl_s: life of the steps.
        wake: tell idle instances that there is work in flight.
        low_slots: how many entries of low priority may start; the others are parked.
        update_settle_s: how long an update waits for more of its kind.
    """
    names = [keys.webhooks, keys.outcomes, keys.retries, keys.fence, keys.regrouped, keys.parked]
    args = [
        GROUP,
        instance,
        str(round(lease_ttl_s * 1000)),
        str(steps_ttl_s),
        keys.wake,
        "1" if wake else "0",
    ]
    args += [str(low_slots), str(round(update_settle_s * 1000))]
    for entry in entries:
        e = entry.event
        names += [keys.lease(e.lead_id), keys.queue(e.lead_id), keys.steps(e.event_id), keys.state(e.lead_id)]
        args += [entry.entry_id, e.event_id, e.lead_id, e.action, to_text(e.received_at)]
        args += [str(int(entry.priority)), "1" if e.source in BURSTS else "0"]
    return ScriptCall(script("enter"), names, args)


def read_enter(reply: Sequence[Any], keys: Keys, entries: Sequence[Entry], instance: str) -> list[Entered]:
    return [_entered(row, keys, e, instance) for row, e in zip(reply, entries, strict=True)]


_FIRST = 2  # texts of the reply to a first attempt


def _entered(row: Sequence[Any], keys: Keys, entry: Entry, instance: str) -> Entered:
    state = row[0].decode()
    if state != "run":
        return Entered(state, due_s=int(row[1]) / 1000 if state == "later" else 0.0)
    if len(row) == _FIRST:
        return Entered("run", Lease(keys.lease(entry.event.lead_id), instance, int(row[1])), 1)
    steps = flat_fields(row[2])
    attempt, verify = int(steps.pop("attempt")), steps.pop("verify", "") == "1"
    steps.pop("entry", None)
    lease = Lease(keys.lease(entry.event.lead_id), instance, int(row[1]))
    newer, contact = row[4].decode(), row[5].decode()
    return Entered("run", lease, attempt, verify, steps, row[3] == 1, newer, contact)


class Finishing(Struct, frozen=True):
    """How an attempt ends.

    Attributes:
        outcome: what to append; None hands the entry back unworked, due at once for anybody.
        delay_s: seconds until a retry (an `AttemptFailed` outcome) is due.
        clean: the attempt certainly sent nothing, so the next one need not read the lead for it.
    """

    entry: Entry
    lease: Lease
    outcome: AttemptFailed | LeadProcessed | LeadDeadLettered | Outcome | None
    delay_s: float = 0.0
    clean: bool = False


class Finished(Struct, frozen=True):
    """The reply to a finish.

    Attributes:
        held: False where the lease had been lost and nothing was changed.
        next: the lead's next entry, claimed for this instance: raw ``(entry id, fields)``.
        lost: ids of pending entries that are no longer in the stream.
    """

    held: bool
    next: tuple[str, dict[str, str]] | None = None
    lost: tuple[str, ...] = ()


def finish(
    keys: Keys, items: Sequence[Finishing], *, instance: str, steps_ttl_s: int, take_next: bool
) -> ScriptCall:
    """End attempts; ``take_next`` also claims each lead's next entry for this instance."""
    names = [keys.webhooks, keys.outcomes, keys.retries, keys.dead]
    args = [GROUP, instance, str(steps_ttl_s), "1" if take_next else "0", keys.wake]
    for item in items:
        e = item.entry.event
        names += [item.lease.key, keys.queue(e.lead_id), keys.steps(e.event_id), keys.state(e.lead_id)]
        verb, counted = _verb(item.outcome)
        outcome = texts_of(item.outcome) if item.outcome else []
        letter = _pairs(_letter(item)) if verb == "dead" else []
        args += [verb, item.entry.entry_id, item.lease.value, str(round(item.delay_s * 1000))]
        args += [counted, "1" if item.clean else "0", str(len(outcome)), str(len(letter))]
        args += [item.outcome.contact if isinstance(item.outcome, LeadProcessed) else "", *outcome, *letter]
    return ScriptCall(script("finish"), names, args)


def _verb(outcome: Outcome | None) -> tuple[str, str]:
    match outcome:
        case None:
            return "release", "0"
        case AttemptFailed():
            return "retry", str(outcome.counted)
        case LeadDeadLettered():
            return "dead", "1"
        case _:
            return "done", "1"


def _letter(item: Finishing) -> dict[str, str]:
    """A dead letter: the original entry, where it failed and why."""
    assert isinstance(item.outcome, LeadDeadLettered)  # noqa: S101 -- narrows for the type checker
    o = item.outcome
    why = {"entry_id": item.entry.entry_id, "attempts": str(o.attempt), "step": o.step, "code": o.code}
    return {**encode(item.entry.event), **why, "api": o.api, "error": o.error, "instance": o.instance}


def read_finish(reply: Sequence[Any]) -> list[Finished]:
    return [_finished(row) for row in reply]


ENDED, _LOST = Finished(held=True), Finished(held=False)


def _finished(row: Any) -> Finished:
    if row in (0, 1):
        return ENDED if row else _LOST
    entry_id, texts, lost = row
    following = (entry_id.decode(), flat_fields(texts)) if entry_id else None
    return Finished(held=True, next=following, lost=tuple(i.decode() for i in lost))


def _pairs(flat: Mapping[str, str]) -> list[str]:
    return [text for pair in flat.items() for text in pair]
