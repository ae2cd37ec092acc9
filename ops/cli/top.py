"""`c2s top`: the system live in the terminal."""

import asyncio
from datetime import timedelta

import asyncpg
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ops.cli.actions import SHORT
from ops.cli.output import PROBLEM, STYLES, console, print_json, print_json_line, printable
from ops.cli.watching import run_until_asked
from ops.faults import told
from ops.findings import duration
from ops.glance import Budget, Glance, look
from ops.postgres import connect
from ops.redis import command_client
from ops.settings import Settings
from ops.words import status_of, took, words_of
from schema.errors import StorageUnavailable


def top_command(settings: Settings, every_s: float, *, once: bool, as_json: bool) -> None:
    """Look once, or every so many seconds until Ctrl-C.

    Raises:
        SystemExit: with code 1 where ``once`` could not ask Redis or Postgres.
    """
    if not once:
        run_until_asked(_watch(settings, every_s, as_json=as_json))
    elif asyncio.run(_once(settings, as_json=as_json)).away:
        raise SystemExit(PROBLEM)


async def _once(settings: Settings, *, as_json: bool) -> Glance:
    watcher = Watcher(settings)
    try:
        found = await watcher.look()
    finally:
        await watcher.close()
    if as_json:
        print_json(found.as_dict())
    else:
        console().print(page(found))
    return found


async def _watch(settings: Settings, every_s: float, *, as_json: bool) -> None:
    watcher = Watcher(settings)
    try:
        while as_json:
            print_json_line((await watcher.look()).as_dict())
            await asyncio.sleep(every_s)
        with Live(console=console(), auto_refresh=False, screen=True) as live:
            while True:
                live.update(page(await watcher.look()), refresh=True)
                await asyncio.sleep(every_s)
    finally:
        await watcher.close()


class Watcher:
    """Looks again and again; a Postgres that went away is tried anew at each look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = command_client(settings.redis_url.get_secret_value(), max_connections=2)
        self._record: asyncpg.Connection | None = None

    async def look(self) -> Glance:
        """One look."""
        away = ""
        if self._record is None or self._record.is_closed():
            try:
                self._record = await connect(self._settings, application_name="c2s-top")
            except (StorageUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._record, away = None, told(error) or "Postgres"
        found = await look(self._client, self._record, self._settings)
        if away:
            found.away.append(away)
        return found

    async def close(self) -> None:
        await self._client.aclose()
        if self._record is not None and not self._record.is_closed():
            await self._record.close(timeout=5)


def page(found: Glance) -> RenderableType:
    """The whole view."""
    queue = found.queue
    numbers = _pairs(
        ("unread", queue and queue.unread),
        ("in work", queue and queue.in_work),
        ("retries waiting", queue and queue.retries),
        ("parked", queue and queue.parked),
        ("dead letters", queue and queue.dead),
        ("oldest waiting", queue and _age(queue.oldest_s)),
    )
    rates = _pairs(
        ("accepted", found.accepted),
        ("ended", found.ended),
        ("failed attempts", found.failed),
    )
    health = _pairs(
        ("processors", queue and queue.processors),
        ("record behind", _age(found.lag_s)),
        ("spooled", found.spooled),
        ("open alerts", found.alerts),
    )
    boxes = [
        Panel(numbers, title="queue"),
        Panel(rates, title="last minute"),
        Panel(health, title="health"),
        Panel(_budgets(found.budgets), title="budgets"),
    ]
    away = [Text(f"away: {words}", STYLES["FAIL"]) for words in found.away]
    head = Text(f"c2s top  {found.at.astimezone():%Y-%m-%d %H:%M:%S}", "bold")
    return Group(head, *away, Columns(boxes), _events(found))


def _pairs(*rows: tuple[str, object]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    for name, value in rows:
        table.add_row(name, "-" if value is None else str(value))
    return table


def _age(seconds: float | None) -> str | None:
    return None if seconds is None else duration(timedelta(seconds=seconds))


def _budgets(budgets: list[Budget]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("api", "limit", "waiting", "next call", "breaker"):
        table.add_column(name)
    for b in budgets:
        breaker = "closed" if b.open_for_s is None else f"OPEN for {_age(b.open_for_s)}"
        style = "" if b.open_for_s is None else STYLES["FAIL"]
        next_call = f"in {b.free_in_s:.1f} s" if b.free_in_s else "now"
        table.add_row(b.api, b.limit, str(b.waiting), next_call, Text(breaker, style))
    return table


def _events(found: Glance) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title="last events", expand=True)
    table.title_justify = "left"
    # What has a fixed width keeps it on a narrow terminal, too; the last column takes what is left.
    widths = {"at": 8, "lead": 25, "action": 6, "status": 10, "took": 7}
    for name, width in widths.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
    table.add_column("what", no_wrap=True, overflow="ellipsis", ratio=1)
    for followed in reversed(found.events):
        event = followed.event
        status = status_of(event)
        at = getattr(event, "at", None)
        table.add_row(
            f"{at.astimezone():%H:%M:%S}" if at else "-",
            Text(printable(event.lead_id)),
            SHORT.get(event.action, event.action),
            Text(status, STYLES.get(status, "")),
            took(event),
            Text(printable(words_of(event))),
        )
    return table
