"""`c2s stats`: the page that is printed, and the screen of `--watch`."""

from datetime import UTC, datetime

from rich.console import Console, RenderableType

from ops.cli.stats import dashboard, page, sections
from ops.statistics import Statistics

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
FOUND: Statistics = {
    "by_status": [{"status": "success", "count": 12, "avg_duration_secs": 1.2}],
    "several_attempts": [{"lead_id": f"lead-{n}", "count": 2, "max": 0} for n in range(12)],
    "success_rate": [{"success_rate": 91}],
    "status_by_hour": [{"hour": AT, "status": "success", "events": 12}],
    "success": [{"events": 14, "success": 12, "failed": 2, "waiting": 0, "success_rate": 85}],
    "latency": [],
    "duplicates": [{"webhooks": 12, "duplicates": 0, "duplicate_rate": 0}],
    "retries": [{"retry_count": 0, "events": 12, "failed": 0}],
    "errors": [{"error_api": "c2s", "error_code": "c2s_500", "step": "send", "failures": 3, "events": 2}],
    "calls": [],
    "without_message": [],
    "waiting": [],
}


def lines(shown: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as caught:
        console.print(shown)
    return [line.rstrip() for line in caught.get().splitlines()]


def test_the_page_tells_of_everything_also_of_what_there_is_none():
    """Each answer has its title; an empty one says so; long lists say how much more there is."""
    told = lines(page(FOUND, "24h"))
    assert [title for title, _ in sections(FOUND, "24h") if title not in told] == []
    assert told[-2:] == ["Waiting, the longest first", "none"]
    assert "and 2 more" in told


def test_the_screen_begins_with_what_is_urgent():
    """On a small terminal errors are in sight, and what is empty takes one line."""
    told = lines(dashboard(FOUND, "24h"))
    assert "Errors by outside API, code and step" in told[:4]
    assert "none" not in told
    assert " ".join(told[-2:]).startswith(
        "nothing: seconds from acceptance to message, outside calls, new leads"
    )


def test_a_wide_screen_shows_answers_side_by_side():
    """It is lower by far than the page."""
    assert len(lines(dashboard(FOUND, "24h"), 160)) < len(lines(page(FOUND, "24h"), 160)) * 0.7


def test_of_an_empty_record_there_is_nothing():
    """No webhook at all: neither a rate nor a chart, and no fault."""
    empty: Statistics = {name: [] for name in FOUND} | {"success_rate": [{"success_rate": None}]}  # type: ignore[assignment,typeddict-item]
    assert lines(page(empty, "24h")).count("none") == len(FOUND)
    assert lines(dashboard(empty, "24h"))[-1]
