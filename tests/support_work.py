"""Attempts in progress, for what only counts them or hands them on."""

from datetime import UTC, datetime

from processor.work import Work
from schema.calls import Entry, Lease
from schema.events import WebhookAccepted


def work(number: int = 1) -> Work:
    """An attempt at an event of a lead of its own."""
    event = WebhookAccepted(
        event_id=f"e{number}",
        lead_id=f"lead-{number}",
        action="on_create_lead",
        version="",
        source="webhook",
        received_at=datetime.now(UTC),
        payload="{}",
    )
    return Work(Entry(f"{number}-0", event), Lease("key", "me", number), 1, False, {}, 30.0, 0.0)
