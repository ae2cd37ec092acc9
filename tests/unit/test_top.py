"""What `c2s top` draws: narrow terminals, and sides that are away."""

from datetime import UTC, datetime

from rich.console import Console

from ops.cli.top import page
from ops.follow import Followed
from ops.glance import Glance, Queue
from schema.events import LeadProcessed

AT = datetime(2026, 1, 21, 12, tzinfo=UTC)
DONE = LeadProcessed(
    event_id="e", lead_id="lead-" + "9" * 40, action="on_create_lead", received_at=AT, at=AT, result="sent"
)


def drawn(glance: Glance, width: int) -> str:
    out = Console(width=width, height=24, force_terminal=False)
    with out.capture() as captured:
        out.print(page(glance))
    return captured.get()


def glance(queue: Queue | None, *away: str) -> Glance:
    counted = None if queue is None else 3
    events = [] if queue is None else [Followed("c2s:{0}:outcomes", "1-0", DONE)]
    return Glance(AT, queue, counted, counted, counted, None, 0, 0, [], events, list(away))


def test_a_narrow_terminal_keeps_times_and_statuses():
    """Eighty columns: a long lead gives way, the time of day and the status do not."""
    line = next(line for line in drawn(glance(Queue(processors=2)), 80).splitlines() if "lead-99" in line)
    assert "…" in line
    for words in (f"{AT.astimezone():%H:%M:%S}", "create", "success", "0.00 s", "sent"):
        assert words in line


def test_what_nobody_could_be_asked_is_not_shown_as_zero():
    """With Redis away its numbers are unknown, on the screen and for machines."""
    away = glance(None, "Redis cannot be reached")
    shown = drawn(away, 100)
    assert "away: Redis cannot be reached" in shown
    for name in ("unread", "processors", "accepted", "dead letters"):
        row = shown[shown.index(name) :].split("│", 1)[0]
        assert row.split()[-1] == "-", name
    assert away.as_dict()["queue"] is None
    assert away.as_dict()["accepted"] is None
