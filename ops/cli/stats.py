"""`c2s stats`: the plan's three queries and the operator's daily questions, with small charts."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.ages import since_of
from ops.cli.charts import bar, sparkline
from ops.cli.output import STYLES, cell, console, print_json, print_json_line
from ops.cli.watching import run_until_asked
from ops.settings import Settings
from ops.statistics import Row, Statistics, read_statistics, record

_SHOWN = 10
_HOURS = 72  # of a sparkline: the newest


def stats_command(settings: Settings, *, since: str, watch_s: float, as_json: bool) -> None:
    """Print the answers, once or (with ``watch_s`` above 0) every so many seconds until Ctrl-C.

    Raises:
        SettingsError: ``since`` is neither an age nor a time.
        StorageUnavailable: Postgres cannot be reached.
    """
    since_of(since, datetime.now(UTC))  # wrong words before anything is opened
    if watch_s:
        run_until_asked(_watch(settings, since, watch_s, as_json))
    else:
        asyncio.run(_once(settings, since, as_json))


async def _once(settings: Settings, since: str, as_json: bool) -> None:
    async with record(settings) as connection:
        found = await read_statistics(connection, _moment(since))
    if as_json:
        print_json(found)
    else:
        console().print(page(found, since))


async def _watch(settings: Settings, since: str, watch_s: float, as_json: bool) -> None:
    async with record(settings) as connection:
        if as_json:
            while True:
                print_json_line(await read_statistics(connection, _moment(since)))
                await asyncio.sleep(watch_s)
        with Live(console=console(), auto_refresh=False, screen=True) as live:
            while True:
                found = await read_statistics(connection, _moment(since))
                live.update(dashboard(found, since), refresh=True)
                await asyncio.sleep(watch_s)


def _moment(since: str) -> datetime:
    now = datetime.now(UTC)
    return since_of(since, now) or now - timedelta(hours=24)


def page(found: Statistics, since: str) -> RenderableType:
    """All of it, one below the other, as it is printed."""
    parts = sections(found, since)
    return Group(*(_titled(title, body or Text("none", "dim")) for title, body in parts))


def dashboard(found: Statistics, since: str) -> RenderableType:
    """All of it for one screen: side by side, what is urgent first, what is empty only named."""
    parts = sections(found, since)
    shown = [_titled(title, body) for title, body in reversed(parts) if body is not None]
    empty = ", ".join(title.lower() for title, body in parts if body is None)
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    return Group(
        Text(f"{now}  Ctrl-C ends", "dim"),
        Columns(shown, padding=(0, 4)),
        Text(f"\nnothing: {empty}" if empty else "", "dim"),
    )


def sections(found: Statistics, since: str) -> list[tuple[str, RenderableType | None]]:
    """Title and body of each answer; no body where there is nothing to show."""
    counts = Counter({row["status"]: row["count"] for row in found["by_status"]})
    rate = found["success_rate"][0]["success_rate"]
    silent = ("lead_id", "received_at", "status", "result", "error_code")
    waiting = ("lead_id", "hook_action", "status", "waiting_secs", "retry_at", "error_code")
    return [
        (
            "Webhooks by status, last 24 hours",
            _bars(
                [(r["status"], r["count"], _seconds(r["avg_duration_secs"])) for r in found["by_status"]],
                counts.total(),
            ),
        ),
        ("Success rate in percent, last 24 hours", None if rate is None else Text(_number(rate))),
        ("Leads with several webhooks, and most retries", _list(found["several_attempts"])),
        (f"Since {since}: received by hour", _hours(found["status_by_hour"])),
        ("Ends", _table(found["success"])),
        ("Seconds from acceptance to message", _table(found["latency"])),
        ("Repeats", _table(found["duplicates"])),
        (
            "Events by failed attempts",
            _bars(
                [(str(r["retry_count"]), r["events"], f"{r['failed']} given up") for r in found["retries"]],
                sum(r["events"] for r in found["retries"]),
            ),
        ),
        (
            "Outside calls",
            _bars(
                [
                    (r["api"], r["calls"], f"{_number(r['calls_per_event'])} per event")
                    for r in found["calls"]
                ],
                max((r["calls"] for r in found["calls"]), default=0),
            ),
        ),
        ("New leads without a message", _list(found["without_message"], silent)),
        (
            "Errors by outside API, code and step",
            _bars(
                [_error(row) for row in found["errors"][:_SHOWN]],
                max((r["failures"] for r in found["errors"]), default=0),
            ),
        ),
        ("Waiting, the longest first", _list(found["waiting"], waiting)),
    ]


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(f"\n{title}", "bold"), body)


def _number(value: object) -> str:
    return "-" if value is None else cell(value).plain


def _seconds(value: object) -> str:
    return "" if value is None else f"{_number(value)} s on average"


def _error(row: Row) -> tuple[str, int, str]:
    name = " ".join(str(row[part] or "-") for part in ("error_api", "error_code", "step"))
    return name, row["failures"], f"{row['events']} events"


def _bars(rows: Iterable[tuple[str, int | Decimal, str]], most: int | Decimal) -> RenderableType | None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="blue")
    table.add_column(style="dim")
    for name, value, remark in rows:
        table.add_row(
            Text(name, STYLES.get(name, "")), _number(value), bar(float(value), float(most)), remark
        )
    return table if table.row_count else None


def _list(rows: Sequence[Row], columns: Sequence[str] = ()) -> RenderableType | None:
    """The first rows, and how many more there are."""
    table, left = _table(rows[:_SHOWN], columns), len(rows) - _SHOWN
    return Group(table, Text(f"and {left:,} more", "dim")) if table is not None and left > 0 else table


def _table(rows: Sequence[Row], columns: Sequence[str] = ()) -> RenderableType | None:
    if not rows:
        return None
    names = list(columns or rows[0])
    table = Table(box=None, pad_edge=False, header_style="bold dim")
    for name in names:
        numeric = all(isinstance(row[name], int | float | Decimal | None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row[name]) for name in names))
    return table


def _hours(rows: Sequence[Row]) -> RenderableType | None:
    """A sparkline per status over the same hours; hours without webhooks show as gaps."""
    if not rows:
        return None
    last = max(row["hour"] for row in rows)
    first = max(min(row["hour"] for row in rows), last - timedelta(hours=_HOURS - 1))
    hours = [first + timedelta(hours=n) for n in range(int((last - first) / timedelta(hours=1)) + 1)]
    events = {(row["status"], row["hour"]): row["events"] for row in rows}
    table = Table(box=None, pad_edge=False, show_header=False)
    for status in sorted({row["status"] for row in rows}):
        values = [events.get((status, hour), 0) for hour in hours]
        style = STYLES.get(status, "")
        remark = f"{sum(values):,}, at most {max(values):,} an hour"
        table.add_row(Text(status, style), Text(sparkline(values), style), Text(remark, "dim"))
    span = f"{first.astimezone():%Y-%m-%d %H:%M} to {last.astimezone():%Y-%m-%d %H:%M}"
    return Group(table, Text(span, "dim"))
