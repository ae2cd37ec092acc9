"""How the CLI speaks: tables for people, JSON for machines, one line for an error."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from schema.times import to_text

PROBLEM, WRONG_USE = 1, 2
STYLES = {
    "success": "green",
    "received": "cyan",
    "processing": "yellow",
    "failed": "bold red",
    "ok": "green",
    "warn": "yellow",
    "FAIL": "bold red",
}
_PIPE_COLUMNS = 200  # of output that is not a terminal: nothing should be cut off


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough where there is none."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS, highlight=False)


def say_error(words: str) -> None:
    """An error, in plain words on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {escape(words)}")


def say_warning(words: str) -> None:
    """What should be known though it went well, on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold yellow]warning:[/] {escape(words)}")


def print_json(value: object) -> None:
    """A value as indented JSON; times in the stored form."""
    print(text_of(value))


def text_of(value: object) -> str:
    """The same text, for a file."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def print_json_line(value: object) -> None:
    """A value as one line of JSON, at once: somebody may be following."""
    print(json.dumps(value, ensure_ascii=False, default=_plain), flush=True)


def print_table(
    rows: Sequence[Mapping[str, Any]], *, title: str = "", columns: Sequence[str] = (), empty: str = "none"
) -> None:
    """Rows as a table.

    Args:
        rows: each by column name.
        title: above the table.
        columns: which and in which order; the first row's by default.
        empty: what to say instead of a table without rows.
    """
    out = console()
    names = list(columns or (rows[0] if rows else ()))
    if title:
        out.print(Text(title, "bold"))
    if not rows:
        out.print(Text(empty, "dim"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold dim")
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | Decimal | None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in names))
    out.print(table)


def cell(value: Any) -> Text:
    """One value as a person reads it; control characters can not move the cursor."""
    text = shown(value)
    return Text(text, STYLES.get(text, ""))


def shown(value: Any) -> str:
    """A value as plain text on one line."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float | Decimal):
        return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
    return printable(str(value))


def printable(text: str) -> str:
    """Text without control characters (line breaks stay): they could forge lines or move the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def plain_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of any mapping type as dictionaries."""
    return [dict(row) for row in rows]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
