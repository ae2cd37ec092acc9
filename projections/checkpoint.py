"""Checkpoints: how far each stream is projected, written in the rows' own transaction.

The update names the old value, so two projectors can never both advance from the same place.
"""

from collections.abc import Mapping

import asyncpg

from projections.batch import Position
from schema.errors import LeadstreamError

NAME = "main"
START = "0-0"


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
    for (partition, stream), entry_id in after.items():
        done = await conn.execute(
            """
            INSERT INTO projection_checkpoints AS c (name, partition, stream, entry_id)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (name, partition, stream)
            DO UPDATE SET entry_id = excluded.entry_id, updated_at = NOW()
            WHERE c.entry_id = $5
            """,
            NAME,
            partition,
            stream,
            entry_id,
            before.get((partition, stream), START),
        )
        if done != "INSERT 0 1":
            raise StaleCheckpoint(f"the checkpoint of {stream} {partition} was moved by another projector")
