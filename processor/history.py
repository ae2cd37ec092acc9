"""What Postgres already knows of an event: dedup that outlives its Redis key.

One primary-key read before the pipeline starts. With Postgres away the answer is *unknown*, and the send
is verified at C2S instead: never less safe, only dearer.
"""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ops.postgres import translated
from processor.work import Work
from schema.status import FINAL

_QUERY = """
SELECT w.status, w.fence, s.message_ref, s.contact
FROM (SELECT $1::uuid AS id, $2::text AS lead_id) AS asked
LEFT JOIN webhook_events w ON w.id = asked.id
LEFT JOIN lead_state s ON s.lead_id = asked.lead_id
"""
_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of an event.

    Attributes:
        final: it reached its end before, and this is no replay: nothing is to be done.
        attempted: an attempt other than this one is on record.
        messaged: the lead has a message of an earlier event.
        contact: fingerprint of the contact that its last processed event had, or empty.
    """

    final: bool
    attempted: bool
    messaged: bool
    contact: str = ""


class History:
    """Reads the record."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of(self, work: Work) -> Past:
        """What the record says of this attempt's event.

        Raises:
            StorageUnavailable: Postgres is away or too slow.
        """
        with translated("reading the event's record"):
            row = await self._pool.fetchrow(
                _QUERY, UUID(work.event.event_id), work.event.lead_id, timeout=_TIMEOUT_S
            )
        assert row is not None  # noqa: S101 -- the query starts from its own one row
        status, fence = row["status"], row["fence"] or 0
        replayed = work.event.source == "replay"
        return Past(
            final=status in FINAL and not replayed,
            # The projector may already have this very attempt on record; only an older fence is another.
            attempted=status not in (None, "received") and fence != work.lease.fence,
            messaged=row["message_ref"] is not None,
            contact=row["contact"] or "",
        )
