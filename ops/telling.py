"""A story as data: what the CLI's ``--json``, the operator API and the console tell of an event."""

from typing import Any

from ops.inspect import Stories, Story
from ops.unprojected import Fact
from schema.codec import PayloadCodec
from schema.errors import CodecError
from schema.events import LeadProcessed, WebhookAccepted, encode
from schema.times import to_text

HIDDEN = "•••••"


def as_json(stories: Stories, codec: PayloadCodec, *, message: bool, payload: bool) -> dict[str, Any]:
    """The same for machines; messages and payloads (personal data) only if asked for."""
    return {
        "events": [
            {
                "event_id": story.event_id,
                "row": story.row,
                "facts": [_fact(fact, codec if payload else None) for fact in story.facts],
                "steps": list(story.steps),
                "message": (message_of(story, codec) if message else hidden_message(story)) or None,
            }
            for story in stories.stories
        ],
        "notes": stories.notes,
    }


def message_of(story: Story, codec: PayloadCodec) -> str:
    """The last message sent or prepared; empty if there was none."""
    stored = _stored_message(story)
    return opened(codec, story.event_id, "message", stored) if stored else ""


def hidden_message(story: Story) -> str:
    """What stands for the message where it is not revealed; empty if there was none."""
    return HIDDEN if _stored_message(story) else ""


def _stored_message(story: Story) -> str:
    for fact in reversed(story.facts):
        if isinstance(fact.event, LeadProcessed) and fact.event.message:
            return fact.event.message
    return ""


def opened(codec: PayloadCodec, event_id: str, field: str, stored: str) -> str:
    """The clear text, or in brackets why there is none: the rest of a story is worth telling without it."""
    try:
        return codec.open(event_id, field, stored)
    except CodecError as error:
        return f"[{error}]"


def was_sent(story: Story) -> bool:
    """Whether the message of a story that has one went out; else it was only prepared (DRY_RUN)."""
    ends = [
        fact.event for fact in story.facts if isinstance(fact.event, LeadProcessed) and fact.event.message
    ]
    return ends[-1].result != "dry_run"


def _fact(fact: Fact, codec: PayloadCodec | None) -> dict[str, Any]:
    flat = {"type": fact.event.type} | encode(fact.event)
    if isinstance(fact.event, WebhookAccepted):
        flat["at"] = to_text(fact.event.received_at)
    for name in ("payload", "message", "enrichment"):
        stored = flat.pop(name, "")
        if codec is not None and stored:
            flat[name] = opened(codec, fact.event.event_id, name, stored)
    return {"stream": fact.stream, "entry_id": fact.entry_id, "recorded": fact.recorded, **flat}
