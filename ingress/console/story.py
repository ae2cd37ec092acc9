"""An event's facts as the rows of a timeline, in the reader's language."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ingress.console.render import named, say
from ops.inspect import Story
from ops.unprojected import Fact, position
from ops.words import DUPLICATE, json_object, status_of
from schema.events import (
    AttemptFailed,
    Event,
    EventIgnored,
    LeadDeadLettered,
    LeadProcessed,
    ProcessingStarted,
    WebhookAccepted,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """One fact.

    Attributes:
        after_s: since the event's receipt.
        took_s: of the end of an attempt, since that attempt's begin.
        steps: milliseconds by step, of an attempt that ended well.
        calls: by API, likewise.
    """

    at: datetime | None
    after_s: float | None
    took_s: float | None
    type: str
    status: str
    words: str
    error: str
    instance: str
    recorded: bool
    steps: list[tuple[str, int]]
    calls: list[tuple[str, int]]


def timeline(story: Story, language: str) -> list[Moment]:
    """The facts in order."""
    start = story.facts[0].event.received_at if story.facts else None
    found = []
    began: datetime | None = None
    for fact in story.facts:
        event = fact.event
        at = _at(fact)
        after = max(0.0, (at - start).total_seconds()) if at and start else None
        if isinstance(event, ProcessingStarted):
            began = at
        ended = isinstance(event, AttemptFailed | LeadDeadLettered | LeadProcessed)
        took = max(0.0, (at - began).total_seconds()) if ended and at and began else None
        began = None if ended else began
        done = event if isinstance(event, LeadProcessed) else None
        found.append(
            Moment(
                at=at,
                after_s=after,
                took_s=took,
                type=event.type,
                status=status_of(event),
                words=_words(event, language),
                error=event.error if isinstance(event, AttemptFailed | LeadDeadLettered) else "",
                instance="" if isinstance(event, WebhookAccepted) else event.instance,
                recorded=fact.recorded,
                steps=[(named(language, "step", step), ms) for step, ms in _numbers(done.timings)]
                if done
                else [],
                calls=_numbers(done.calls) if done else [],
            )
        )
    return found


def standing(moments: list[Moment], recorded: str) -> str:
    """The event's status after its last fact; the record may be a moment behind the streams."""
    known = (moment.status for moment in reversed(moments) if moment.status not in ("", DUPLICATE))
    return next(known, recorded)


def _at(fact: Fact) -> datetime | None:
    event = fact.event
    if not isinstance(event, WebhookAccepted):
        return event.at
    if event.source != "replay":
        return event.received_at
    # A replay keeps the time of receipt; when it was put back is the time of its entry.
    return datetime.fromtimestamp(position(fact.entry_id)[0] / 1000, UTC)


def _words(event: Event, language: str) -> str:
    values = {name: getattr(event, name, "") for name in ("attempt", "code", "reason")}
    values |= {name: named(language, name, getattr(event, name, "")) for name in ("source", "step", "result")}
    if isinstance(event, EventIgnored):  # a word of the data's; a replay's reason is an operator's own words
        values["reason"] = named(language, "ignored", event.reason)
    return say(language, f"fact.{event.type}", **values)


def _numbers(text: str) -> list[tuple[str, int]]:
    return [(str(k), int(v)) for k, v in json_object(text).items() if isinstance(v, int | float) and v]
