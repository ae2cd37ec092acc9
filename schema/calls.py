"""Arguments and replies of the scripts, typed: the Python half of `schema/lua`.

Pure: a builder returns a `ScriptCall`, a reader takes the raw reply (bytes, ints, lists) apart. Every call
takes a batch; a single step is a batch of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schema.events import AttemptFailed, LeadDeadLettered, LeadProcessed, Outcome, WebhookAccepted, encode
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script
from schema.times import to_text


@dataclass(frozen=True, slots=True)
class Forward:
    """A copy of a request, to be passed on.

    Attributes:
        id: the event's id; of a batch an id of its own, made from its bytes.
        headers: as a JSON object.
        body: as the codec stores it; empty where it is the event's payload.
    """

    id: str
    headers: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Appending:
    """One webhook on its way into the stream.

    Attributes:
        known: False for an action that is recorded but never processed.
        forward: what is stored with it to be passed on; None for nothing.
    """

    event: WebhookAccepted
    dedup_key: str
    known: bool = True
    forward: Forward | None = None


@dataclass(frozen=True, slots=True)
class Appended:
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
    keys: Keys, items: Sequence[Appending], *, dedup_ttl_s: int, instance: str, again: bool = False
) -> ScriptCall:
    """Accept webhooks; ``again`` says that an earlier call with these items may have succeeded."""
    names = [keys.webhooks, keys.outcomes, keys.forwards]
    args = [str(dedup_ttl_s), instance, "1" if again else "0"]
    for item in items:
        e = item.event
        kind = "accept" if item.known else "ignore"
        received = to_text(e.received_at)
        args += [kind, e.event_id, e.lead_id, e.action, e.version, e.source, received]
        args += [e.traceparent, e.payload, "3" if item.forward else "0"]
        if item.forward:
            args += [item.forward.id, item.forward.headers, item.forward.body]
        names += [keys.dedup(item.dedup_key), keys.queue(e.lead_id)]
    return ScriptCall(script("append"), names, args)


def read_append(reply: Sequence[Any]) -> list[Appended]:
    return [Appended(row[0] == 1, row[1].decode(), row[2].decode()) for row in reply]


@dataclass(frozen=True, slots=True)
class Entry:
    """A webhooks entry in an instance's hands: its stream id and its event."""

    entry_id: str
    event: WebhookAccepted


@dataclass(frozen=True, slots=True)
class Lease:
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


@dataclass(frozen=True, slots=True)
class Entered:
    """The answer to an entry that asked to be worked on.

    Attributes:
        state: ``run`` (lease taken), ``wait`` (another entry of the lead goes first), ``later`` (its retry is
            not due), ``busy`` (another instance has the lead) or ``gone`` (not ours any more).
        lease: where ``run``.
        attempt: number of this attempt, from 1.
        verify: an earlier attempt ended unseen: read the lead before sending.
        steps: the finished steps by name, as recorded.
        expired: the attempt before this one never ended: its owner crashed or lost the lease.
    """

    state: Literal["run", "wait", "later", "busy", "gone"]
    lease: Lease | None = None
    attempt: int = 0
    verify: bool = False
    steps: Mapping[str, str] = field(default_factory=dict)
    expired: bool = False


def enter(
    keys: Keys, entries: Sequence[Entry], *, instance: str, lease_ttl_s: float, steps_ttl_s: int, wake: bool
) -> ScriptCall:
    """Ask to work on entries; ``wake`` tells idle instances that there is work in flight."""
    names = [keys.webhooks, keys.outcomes, keys.retries, keys.fence, keys.regrouped]
    args = [GROUP, instance, str(round(lease_ttl_s * 1000)), str(steps_ttl_s), keys.wake if wake else ""]
    for entry in entries:
        e = entry.event
        names += [keys.lease(e.lead_id), keys.queue(e.lead_id), keys.steps(e.event_id)]
        args += [entry.entry_id, e.event_id, e.lead_id, e.action, to_text(e.received_at)]
    return ScriptCall(script("enter"), names, args)


def read_enter(reply: Sequence[Any], keys: Keys, entries: Sequence[Entry], instance: str) -> list[Entered]:
    return [_entered(row, keys, e, instance) for row, e in zip(reply, entries, strict=True)]


def _entered(row: Sequence[Any], keys: Keys, entry: Entry, instance: str) -> Entered:
    state = row[0].decode()
    if state != "run":
        return Entered(state)
    steps = _flat(row[2])
    attempt, verify = int(steps.pop("attempt")), steps.pop("verify", "") == "1"
    steps.pop("entry", None)
    lease = Lease(keys.lease(entry.event.lead_id), instance, int(row[1]))
    return Entered("run", lease, attempt, verify, steps, expired=row[3] == 1)


def renew(keys: Keys, held: Sequence[tuple[Lease, str]], *, instance: str, lease_ttl_s: float) -> ScriptCall:
    """Heartbeat of leases, each with the id of the entry in work."""
    args = [GROUP, instance, str(round(lease_ttl_s * 1000))]
    for lease, entry_id in held:
        args += [lease.value, entry_id]
    return ScriptCall(script("renew"), [keys.webhooks, *(lease.key for lease, _ in held)], args)


def record(keys: Keys, notes: Sequence[tuple[Lease, str, str, str]], *, steps_ttl_s: int) -> ScriptCall:
    """Note steps: each ``(lease, event_id, name, stored text)``; the reply says 1 or 0 (lease lost) each."""
    names: list[str] = []
    args = [str(steps_ttl_s)]
    for lease, event_id, name, text in notes:
        names += [lease.key, keys.steps(event_id)]
        args += [lease.value, name, text]
    return ScriptCall(script("record"), names, args)


@dataclass(frozen=True, slots=True)
class Finishing:
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


@dataclass(frozen=True, slots=True)
class Finished:
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
        names += [item.lease.key, keys.queue(e.lead_id), keys.steps(e.event_id)]
        verb, counted = _verb(item.outcome)
        outcome = _pairs(encode(item.outcome)) if item.outcome else []
        letter = _pairs(_letter(item)) if verb == "dead" else []
        args += [verb, item.entry.entry_id, item.lease.value, str(round(item.delay_s * 1000))]
        args += [counted, "1" if item.clean else "0", str(len(outcome)), str(len(letter)), *outcome, *letter]
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


def _finished(row: Sequence[Any]) -> Finished:
    if row[0] != b"ok":
        return Finished(held=False)
    following = (row[1].decode(), _flat(row[2])) if row[1] else None
    return Finished(held=True, next=following, lost=tuple(i.decode() for i in row[3]))


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick found.

    Attributes:
        entries: claimed for this instance: raw ``(entry id, fields)``.
        lost: ids of pending entries that are no longer in the stream.
        cursor: where the next tick's XAUTOCLAIM goes on.
        pending: entries in the group's pending entries list.
        wait_s: seconds until there may be more to do; None for *not before new work arrives*.
    """

    entries: list[tuple[str, dict[str, str]]]
    lost: tuple[str, ...]
    cursor: str
    pending: int
    wait_s: float | None


def tick(keys: Keys, *, instance: str, min_idle_s: float, most: int, cursor: str) -> ScriptCall:
    """Claim due retries and what crashed owners left behind, at most ``most`` entries."""
    args = [GROUP, instance, str(round(min_idle_s * 1000)), str(most), cursor]
    return ScriptCall(script("tick"), [keys.webhooks, keys.retries], args)


def read_tick(reply: Sequence[Any]) -> Ticked:
    entries = [(row[0].decode(), _flat(row[1])) for row in reply[0]]
    wait_ms = int(reply[4])
    wait_s = None if wait_ms < 0 else wait_ms / 1000
    return Ticked(entries, tuple(i.decode() for i in reply[1]), reply[2].decode(), int(reply[3]), wait_s)


def replay(
    keys: Keys,
    event: WebhookAccepted,
    dedup_key: str,
    *,
    dedup_ttl_s: int,
    steps_ttl_s: int,
    instance: str,
    reason: str,
    lost: str = "",
) -> ScriptCall:
    """Put an event back to work under its own id; the reply is the new entry id.

    ``lost`` is the id of the entry that it makes good; where that was not lost, or was made good before,
    nothing is done and the reply is empty.
    """
    names = [keys.webhooks, keys.outcomes, keys.fence, keys.steps(event.event_id), keys.dedup(dedup_key)]
    names += [keys.queue(event.lead_id)]
    args = [str(dedup_ttl_s), str(steps_ttl_s), instance, reason, event.event_id, event.lead_id, event.action]
    args += [event.version, event.source, to_text(event.received_at), event.traceparent, event.payload, lost]
    return ScriptCall(script("replay"), names, args)


def sweep(keys: Keys, *, instance: str, min_idle_s: float) -> ScriptCall:
    """Strike idle consumers without pending entries from the group; the reply is how many."""
    return ScriptCall(script("sweep"), [keys.webhooks], [GROUP, instance, str(round(min_idle_s * 1000))])


def _flat(items: Sequence[bytes]) -> dict[str, str]:
    texts = [i.decode() for i in items]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _pairs(flat: Mapping[str, str]) -> list[str]:
    return [text for pair in flat.items() for text in pair]
