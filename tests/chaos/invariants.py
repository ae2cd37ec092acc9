"""What must hold after the chaos, whatever was killed: each a function whose findings are sentences."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chaos.facts import Facts
from chaos.sender import Accepted
from chaos.takeover import ENDINGS

Leads = Mapping[str, Sequence[Accepted]]
_CLOCK_S = 0.05  # Redis ends a lease by its cached clock


def every_webhook_is_final(facts: Facts, leads: Leads) -> list[str]:
    """Every webhook answered 200 has its row, and the row is final."""
    accepted = sorted({a.event_id for answers in leads.values() for a in answers})
    lost = [f"event {e} was answered 200 and has no row" for e in accepted if e not in facts.rows]
    return lost + [
        f"event {e} is not final: {facts.rows[e]['status']}"
        for e in accepted
        if e in facts.rows and facts.rows[e]["status"] not in ("success", "failed")
    ]


def every_webhook_is_archived_once(facts: Facts, leads: Leads) -> list[str]:
    """Every webhook answered 200 is one entry of the archive, though the streams are trimmed."""
    entries = Counter(entry["event_id"] for entry in facts.entries)
    replayed = {row["event_id"] for row in facts.log if row["type"] == "event_replayed"}
    found = []
    for event_id in sorted({a.event_id for answers in leads.values() for a in answers}):
        count = entries[event_id]
        if count == 0:
            found.append(f"event {event_id} was answered 200 and is not in event_log")
        elif count > 1 and event_id not in replayed:
            found.append(f"event {event_id} was appended {count} times")
    return found


def at_most_one_message(facts: Facts, leads: Leads) -> list[str]:
    """One message per lead and event at most, and exactly one where the event ended as `sent`."""
    found, messages = [], {}
    for lead_id, texts in facts.messages.items():
        messages[lead_id] = Counter(text["body"].splitlines()[-1] for text in texts)
        twice = [ref for ref, count in messages[lead_id].items() if count > 1]
        found += [f"lead {lead_id} was messaged more than once for one event: {ref}" for ref in twice]
    sent = Counter(
        row["lead_id"] for row in facts.rows.values() if (row["status"], row["result"]) == ("success", "sent")
    )
    for lead_id, count in sorted(sent.items()):
        have = len(messages.get(lead_id, ()))
        if have < count:
            found.append(f"lead {lead_id} has {count} events that ended as `sent` and {have} messages")
    return found


def one_instance_per_lead(facts: Facts, leads: Leads, lease_s: float) -> list[str]:
    """No two instances were in the pipeline of one lead at once: fences grow, attempts do not overlap.

    An attempt that recorded no end may have worked until its lease ended, so the next began no sooner than a
    lease's life after it.
    """
    found = []
    for lead_id, rows in _by_lead(facts.log).items():
        newest = 0
        for row in rows:
            if row["fence"] < newest:
                found.append(f"lead {lead_id}: {row['type']} of an older fence at {row['entry_id']}")
            newest = max(newest, row["fence"])
        ended = {row["fence"]: row["at"] for row in rows if row["type"] in ENDINGS}
        starts = [row for row in rows if row["type"] == "processing_started"]
        for one, other in pairwise(starts):
            free_at = ended.get(one["fence"], one["at"] + lease_s)
            if other["at"] + _CLOCK_S < free_at:
                found.append(
                    f"lead {lead_id}: {other['instance']} began {free_at - other['at']:.3f} s before"
                    f" {one['instance']} was out of it (entry {other['entry_id']})"
                )
    return found


def a_leads_events_in_order(facts: Facts, leads: Leads) -> list[str]:
    """A lead's events are worked on in stream order, one wholly after the other; replayed ones excepted."""
    replayed = {row["event_id"] for row in facts.log if row["type"] == "event_replayed"}
    order = defaultdict(list)
    for entry in facts.entries:
        if entry["event_id"] not in replayed and entry["event_id"] not in order[entry["lead_id"]]:
            order[entry["lead_id"]].append(entry["event_id"])
    fences = defaultdict(list)
    for row in facts.log:
        if row["fence"]:
            fences[row["event_id"]].append(row["fence"])
    found = []
    for lead_id, events in order.items():
        worked = [event_id for event_id in events if fences[event_id]]
        for one, other in pairwise(worked):
            if max(fences[one]) > min(fences[other]):
                found.append(f"lead {lead_id}: event {other} was begun before event {one} was over")
    return found


def stream_in_order_sent(facts: Facts, leads: Leads) -> list[str]:
    """A lead's webhooks are in the stream in the order sent, where that is promised.

    Promised where the earlier one was in the stream when it was answered (`accepted`, `duplicate`), and where
    both were spooled at their first request. Not promised (keeping beats order): one spooled, then another
    appended past the spool because Postgres had failed as well, be it a repeat of one that is spooled, or by
    an ingress that was started anew and could not see the spool.
    """
    place: dict[str, tuple[int, int]] = {}
    for entry in facts.entries:
        place.setdefault(entry["event_id"], entry["order"])
    found = []
    for lead_id, answers in leads.items():
        known = [a for a in answers if a.event_id in place]
        for one, other in pairwise(known):
            if _promised(one, other) and place[one.event_id] > place[other.event_id]:
                found.append(
                    f"lead {lead_id}: {other.event_id} was sent after {one.event_id}, and is before it"
                )
    return found


def nothing_left_in_redis(facts: Facts, leads: Leads) -> list[str]:
    """No orphan lease, queue, retry, pending entry or endless step is left in Redis."""
    return [f"left in Redis: {what}" for what in facts.left]


def verdicts(facts: Facts, leads: Leads, lease_s: float) -> dict[str, list[str]]:
    """Each invariant's sentence, and what breaks it."""

    def one_instance(facts: Facts, leads: Leads) -> list[str]:
        return one_instance_per_lead(facts, leads, lease_s)

    one_instance.__doc__ = one_instance_per_lead.__doc__
    checks: list[Callable[[Facts, Leads], list[str]]] = [
        every_webhook_is_final,
        every_webhook_is_archived_once,
        at_most_one_message,
        one_instance,
        a_leads_events_in_order,
        stream_in_order_sent,
        nothing_left_in_redis,
    ]
    return {(check.__doc__ or "").splitlines()[0]: check(facts, leads) for check in checks}


def _promised(one: Accepted, other: Accepted) -> bool:
    if "overtook" in (one.status, other.status):
        return False
    if one.status == "spooled":
        return other.status == "spooled" and one.tries == other.tries == 1
    return True


def _by_lead(log: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found = defaultdict(list)
    for row in log:
        if row["fence"]:
            found[row["lead_id"]].append(row)
    return found
