"""Checkpoints: how far each stream is projected, written in the rows' own transaction.

The update names the old value, so two projectors can never both advance from the same place.
"""

from collections.abc import Mapping

import asyncpg

from projections.batch import Position, columns
from schema.errors import LeadstreamError

NAME = "main"
START = "0-0"


_ADVANCE = """
INSERT INTO projection_checkpoints AS c (name, partition, stream, entry_id)
SELECT $1, x.partition, x.stream, x.entry_id
FROM unnest($2::smallint[], $3::text[], $4::text[], $5::text[]) AS x(partition, stream, entry_id, before)
ON CONFLICT (name, partition, stream) DO UPDATE SET entry_id = excluded.entry_id, updated_at = NOW()
WHERE c.entry_id = (SELECT y.before FROM unnest($2::smallint[], $3::text[], $5::text[])
    AS y(partition, stream, before) WHERE y.partition = c.partition AND y.stream = c.stream)
"""


class StaleCheckpoint(LeadstreamError):  # noqa: N818 -- a state of the world
    """Somebody else moved the checkpoint; what was read must be read again from there."""


async def load(conn: asyncpg.Connection) -> dict[Position, str]:
    """The last projected entry of each stream that has one."""
    rows = await conn.fetch(
        "SELECT partition, stream, entry_id FROM projection_checkpoints WHERE name = $1", NAME
    )
    return {(row["partition"], row["stream"]): row["entry_id"] for row in rows}


async def advance(
    conn: asyncpg.Connection, before: Mapping[Position, str], after: Mapping[Position, str]
) -> None:
    """Move checkpoints from ``before`` to ``after``.

    Raises:
        StaleCheckpoint: one of them is not where ``before`` says; the transaction must be abandoned.
    """
    rows = [(*place, entry_id, before.get(place, START)) for place, entry_id in sorted(after.items())]
    moved = await conn.execute(_ADVANCE, NAME, *columns(rows))
    if moved != f"INSERT 0 {len(rows)}":
        raise StaleCheckpoint("a checkpoint was moved by another projector")
