"""What must hold after every schedule."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from schema.events import (
    EventIgnored,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    ProcessingStarted,
    WebhookAccepted,
)
from schema.identity import marker
from schema.keys import GROUP, Keys
from simulation.schedule import Schedule
from simulation.streams import Stream

_END = (LeadProcessed, LeadDeadLettered, EventIgnored)


def broken(schedule: Schedule) -> list[str]:
    """The promises that did not hold, in words."""
    return [
        *_each_final_once(schedule),
        *_messages(schedule),
        *_one_at_a_time(schedule),
        *_rest(schedule),
        *_faults(schedule),
    ]


def _each_final_once(schedule: Schedule) -> Iterator[str]:
    entered = [f.event.event_id for f in schedule.archive.facts() if isinstance(f.event, WebhookAccepted)]
    ends = Counter(o.event_id for o in schedule.outcomes if isinstance(o, _END))
    for event_id in schedule.accepted - set(entered):
        yield f"{event_id} was answered for and is in no stream"
    for event_id, count in Counter(entered).items():
        if count > len(schedule.numbers):
            yield f"{event_id} has {count} entries"
        if ends[event_id] != count:
            yield f"{event_id} has {count} entries and {ends[event_id]} ends"


def _messages(schedule: Schedule) -> Iterator[str]:
    sent = Counter(
        (lead, text.rpartition("\n")[2])
        for lead, texts in schedule.outside.messages.items()
        for text in texts
    )
    for key, count in sent.items():
        if count > 1:
            yield f"{key} was sent {count} times"
    for o in schedule.outcomes:
        if isinstance(o, LeadProcessed) and o.result == "sent" and sent[o.lead_id, marker(o.event_id)] != 1:
            yield f"{o.event_id} ended as sent and was not"


def _one_at_a_time(schedule: Schedule) -> Iterator[str]:
    """Fences grow; no end of an older fence after a newer began; entries of a lead end in their order.

    Fences in each place of a lead: which of two comes first is decided after the lease is taken.
    """
    facts = schedule.archive.facts()
    order = [(f.partition, f.event.event_id) for f in facts if isinstance(f.event, WebhookAccepted)]
    newest: dict[tuple[int, str], int] = defaultdict(int)
    ended: dict[str, list[int]] = defaultdict(list)
    for fact in facts:
        o = fact.event
        if not isinstance(o, Outcome):
            continue
        place = fact.partition, o.lead_id
        if isinstance(o, ProcessingStarted):
            if o.fence <= newest[place]:
                yield f"{place}: fence {o.fence} was given out after {newest[place]}"
            newest[place] = o.fence
        elif o.fence and o.fence != newest[place]:
            yield f"{place}: {o.type} of fence {o.fence} while {newest[place]} had the lead"
        if isinstance(o, _END):
            ended[o.lead_id].append(order.index((fact.partition, o.event_id)))
    for lead, places in ended.items():
        if places != sorted(places):
            yield f"{lead}: events ended in the order {places}"


def _rest(schedule: Schedule) -> Iterator[str]:
    """Nothing is left: no lease, queue, retry, pending entry, or step but those of dead letters."""
    dead = {o.event_id for o in schedule.outcomes if isinstance(o, LeadDeadLettered)}
    for partition in range(schedule.partitions):
        stream: Stream = schedule.model.get(Keys(partition).webhooks.encode(), Stream)
        if pending := stream.groups[GROUP.encode()].pending:
            yield f"pending entries are left: {pending}"
    for name in schedule.model.names():
        key = name.decode().partition("}:")[2]
        if key.startswith(("lead:processing", "lead:queue", "retries")):
            yield f"{key} is left"
        if key.startswith("steps:") and key.removeprefix("steps:") not in dead:
            yield f"{key} is left"
    yield from schedule.loop.errors


def _faults(schedule: Schedule) -> Iterator[str]:
    """No attempt ended in an error that nobody foresaw: a bug of ours, or of the simulated world."""
    for o in schedule.outcomes:
        if getattr(o, "code", "") == "unexpected":
            yield f"{o.event_id} attempt {o.attempt}: {getattr(o, 'error', '')}"
