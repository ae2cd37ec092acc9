"""Where the record says that an event is: for the trigger that asks again, and for its status."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog

from ops.persons import Connection, Persons
from ops.postgres import translated
from schema.codec import PayloadCodec
from schema.errors import CodecError
from schema.status import FINAL, Status

log = structlog.get_logger()

_TIMEOUT_S = 3.0
_EVENT = "SELECT lead_id, status, result, error_message, retry_count FROM webhook_events WHERE id = $1"
_SPOOLED = "SELECT lead_id FROM ingress_spool WHERE drained_at IS NULL AND event_id = $1 LIMIT 1"
_PEOPLE = """
SELECT p.cpf AS name, coalesce(p.cpf_sealed, p.cpf) AS cpf
FROM lead_people l JOIN people p ON p.id = l.person_id WHERE l.lead_id = $1 ORDER BY p.id
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an event is.

    Attributes:
        status: as in ``webhook_events``, or ``spooled``.
        result: of an event that reached its good end.
        error: the last one; why it was given up, where it was.
        failed_attempts: in the present series.
        cpfs: of the persons on record for the lead, 11 digits each, once the event has ended.
    """

    lead_id: str
    status: str
    result: str = ""
    error: str = ""
    failed_attempts: int = 0
    cpfs: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def success(self) -> bool:
        return self.status == Status.SUCCESS


class EventsOnRecord(Protocol):
    """Where events can be looked up."""

    async def standing(self, event_id: str) -> Standing | None: ...
    async def cpfs(self, lead_id: str) -> tuple[str, ...]: ...


class Record:
    """Reads the record."""

    def __init__(self, pool: asyncpg.Pool, codec: PayloadCodec) -> None:
        self._pool = pool
        self._persons = Persons(codec)

    async def standing(self, event_id: str) -> Standing | None:
        """Where the event is; None where it is not on record (yet).

        Raises:
            StorageUnavailable: Postgres is away.
        """
        with translated("reading where an event is"):
            async with self._pool.acquire(timeout=_TIMEOUT_S) as conn:
                row = await conn.fetchrow(_EVENT, UUID(event_id), timeout=_TIMEOUT_S)
                if row is None:
                    lead_id = await conn.fetchval(_SPOOLED, UUID(event_id), timeout=_TIMEOUT_S)
                    return None if lead_id is None else Standing(lead_id, "spooled")
                cpfs = await self._cpfs(conn, row["lead_id"]) if row["status"] in FINAL else ()
        return Standing(
            lead_id=row["lead_id"],
            status=row["status"],
            result=row["result"] or "",
            error=row["error_message"] or "",
            failed_attempts=row["retry_count"] or 0,
            cpfs=cpfs,
        )

    async def cpfs(self, lead_id: str) -> tuple[str, ...]:
        """Of the persons on record for a lead, 11 digits each.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        with translated("reading a lead's persons"):
            async with self._pool.acquire(timeout=_TIMEOUT_S) as conn:
                return await self._cpfs(conn, lead_id)

    async def _cpfs(self, conn: Connection, lead_id: str) -> tuple[str, ...]:
        rows = await conn.fetch(_PEOPLE, lead_id, timeout=_TIMEOUT_S)
        try:
            who = await self._persons.named(conn, [row["name"] for row in rows])
            return tuple(dict.fromkeys(who[row["name"]].open("cpf", row["cpf"]) for row in rows))
        except CodecError as error:
            log.warning("persons.unreadable", lead_id=lead_id, error=str(error))
            return ()
