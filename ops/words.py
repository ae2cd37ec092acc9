"""Events in words, for the terminal: what happened, in one short line without personal data."""

from collections.abc import Mapping
from typing import Any

import orjson

from schema.events import (
    AttemptFailed,
    Event,
    EventIgnored,
    EventReplayed,
    LeadDeadLettered,
    LeadProcessed,
    ProcessingStarted,
    WebhookAccepted,
    WebhookDuplicated,
)
from schema.status import STATUS_AFTER

DUPLICATE = "duplicate"


def status_of(event: Event) -> str:
    """The event's status after this fact; ``duplicate`` for a repeat, which changes nothing."""
    return DUPLICATE if isinstance(event, WebhookDuplicated) else str(STATUS_AFTER.get(event.type, ""))


def words_of(event: Event) -> str:  # noqa: PLR0911 -- one line per type
    """What the fact says beyond its type."""
    match event:
        case WebhookAccepted():
            return f"accepted from {event.source}"
        case WebhookDuplicated():
            return "the same webhook again: nothing to do"
        case ProcessingStarted():
            return f"attempt {event.attempt} begins"
        case AttemptFailed():
            return _failed(event)
        case LeadProcessed():
            return event.result
        case LeadDeadLettered():
            where = f" at step {event.step}" if event.step else ""
            return f"gave up after attempt {event.attempt}{where} ({event.code}): {event.error}"
        case EventReplayed():
            return f"put back to work ({event.reason})"
        case EventIgnored():
            return f"ignored ({event.reason})"
        case _:
            return ""


def details_of(event: Event) -> str:
    """Time per step and calls per API, where the fact tells them."""
    if not isinstance(event, LeadProcessed):
        return ""
    timings = [f"{name} {value} ms" for name, value in json_object(event.timings).items()]
    calls = [f"{value} x {name}" for name, value in json_object(event.calls).items() if value]
    parts = [("steps", timings), ("calls", calls)]
    return "; ".join(f"{title}: {', '.join(words)}" for title, words in parts if words)


def json_object(text: str) -> Mapping[str, Any]:
    """A JSON object, or an empty one for anything else."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def took(event: Event) -> str:
    """Seconds from the webhook's receipt to this fact, as text; empty where that says nothing."""
    if isinstance(event, WebhookAccepted | WebhookDuplicated) or event.at is None:
        return ""
    return f"{max(0.0, (event.at - event.received_at).total_seconds()):.2f} s"


def _failed(event: AttemptFailed) -> str:
    where = f" at step {event.step}" if event.step else ""
    spent = "" if event.counted else ", not counted"
    due = ""
    if event.retry_at is not None and event.at is not None:
        due = f", again in {max(0.0, (event.retry_at - event.at).total_seconds()):.1f} s"
    return f"attempt {event.attempt} failed{where} ({event.code}{spent}){due}: {event.error}"
