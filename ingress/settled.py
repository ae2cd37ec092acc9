"""What the record says of an event that the trigger asks for again."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ops.postgres import translated
from schema.status import FINAL, Status

_TIMEOUT_S = 3.0
_EVENT = "SELECT status, result, error_message FROM webhook_events WHERE id = $1"
_PEOPLE = """
SELECT p.cpf FROM lead_people l JOIN people p ON p.id = l.person_id WHERE l.lead_id = $1 ORDER BY p.id
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """An event that reached its end.

    Attributes:
        error: why it was given up; empty where it was not.
        cpfs: of the persons on record for the lead, 11 digits each.
    """

    success: bool
    result: str
    error: str
    cpfs: tuple[str, ...]


class Record:
    """Reads the record."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def settled(self, event_id: str, lead_id: str) -> Settled | None:
        """How the event ended; None while it has not, or is not on record yet.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        with translated("reading an event's end"):
            async with self._pool.acquire(timeout=_TIMEOUT_S) as conn:
                row = await conn.fetchrow(_EVENT, UUID(event_id), timeout=_TIMEOUT_S)
                if row is None or row["status"] not in FINAL:
                    return None
                people = await conn.fetch(_PEOPLE, lead_id, timeout=_TIMEOUT_S)
        return Settled(
            success=row["status"] == Status.SUCCESS,
            result=row["result"] or "",
            error=row["error_message"] or "",
            cpfs=tuple(p["cpf"] for p in people),
        )
