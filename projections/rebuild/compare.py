"""Row by row: what the live tables say, and what the archive says they should."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from projections.model import Table
from projections.rebuild.tables import LIVE, SCHEMA

SHOWN = 20  # differences told in full, per table
HIDDEN = "(personal)"
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not as it should be.

    Attributes:
        key: names the row; personal values are hidden here and below.
        kind: ``differs``, ``only live`` or ``only rebuilt``.
        columns: for one that differs, the live and the rebuilt value of each column concerned.
    """

    table: str
    key: dict[str, str]
    kind: str
    columns: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Compared:
    """A table's verdict.

    Attributes:
        rows: in the rebuilt table.
        examples: the first differences, at most `SHOWN`.
    """

    rows: int
    differences: int
    examples: tuple[Difference, ...]


async def compare(conn: asyncpg.Connection, table: Table) -> Compared:
    """Compare a rebuilt table with the live one."""
    text = table.compared or f"SELECT * FROM {{schema}}.{table.name}"  # noqa: S608 -- our own names
    live, rebuilt = text.format(schema=LIVE), text.format(schema=SCHEMA)
    columns = await _columns(conn, table, live)
    join = " AND ".join(f'l."{key}" = r."{key}"' for key in table.key)
    ours, theirs = (", ".join(f'{side}."{name}"' for name in columns) for side in "lr")
    source = (
        f"FROM ({live}) l FULL JOIN ({rebuilt}) r ON {join} WHERE ROW({ours}) IS DISTINCT FROM ROW({theirs})"
    )
    rows = await conn.fetchval(f"SELECT count(*) FROM ({rebuilt}) AS r")  # noqa: S608
    number = await conn.fetchval(f"SELECT count(*) {source}")
    if not number:
        return Compared(rows, 0, ())
    sides = ", ".join(f'{side}."{name}"::text AS "{side}_{name}"' for name in columns for side in "lr")
    found = await conn.fetch(f"SELECT {sides} {source} LIMIT {SHOWN}")
    return Compared(rows, number, tuple(_difference(table, columns, dict(row)) for row in found))


async def _columns(conn: asyncpg.Connection, table: Table, live: str) -> list[str]:
    if not table.compared:
        return [row["attname"] for row in await conn.fetch(_COLUMNS, f"{LIVE}.{table.name}")]
    return [attribute.name for attribute in (await conn.prepare(live)).get_attributes()]


def _difference(table: Table, columns: list[str], row: dict[str, Any]) -> Difference:
    def shown(name: str, value: str | None) -> str:
        if value is None:
            return "null"
        return HIDDEN if name in table.personal else value

    missing_live = all(row[f"l_{key}"] is None for key in table.key)
    missing_rebuilt = all(row[f"r_{key}"] is None for key in table.key)
    key = {k: shown(k, row[f"r_{k}" if missing_live else f"l_{k}"]) for k in table.key}
    if missing_live or missing_rebuilt:
        return Difference(table.name, key, "only rebuilt" if missing_live else "only live", {})
    changed = {
        name: (shown(name, row[f"l_{name}"]), shown(name, row[f"r_{name}"]))
        for name in columns
        if row[f"l_{name}"] != row[f"r_{name}"]
    }
    return Difference(table.name, key, "differs", changed)
