"""What Postgres already knows of an event: dedup that outlives its Redis key.

One primary-key read before the pipeline starts, shared by attempts that begin together. With Postgres away
the answer is *unknown*, and the send is verified at C2S instead: never less safe, only dearer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ops.batcher import Batcher
from ops.postgres import translated
from processor.work import Work
from schema.status import FINAL

_QUERY = """
SELECT w.status, w.fence, s.message_ref, s.contact
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS asked (id, lead_id, n)
LEFT JOIN webhook_events w ON w.id = asked.id
LEFT JOIN lead_state s ON s.lead_id = asked.lead_id
ORDER BY asked.n
"""
_TIMEOUT_S = 3.0
_MOST_AT_ONCE, _READS_AT_ONCE = 64, 2


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
        self._reads: Batcher[tuple[UUID, str], asyncpg.Record] = Batcher(
            self._read, most=_MOST_AT_ONCE, width=_READS_AT_ONCE
        )

    async def of(self, work: Work) -> Past:
        """What the record says of this attempt's event.

        Raises:
            StorageUnavailable: Postgres is away or too slow.
        """
        row = await self._reads.submit((UUID(work.event.event_id), work.event.lead_id))
        status, fence = row["status"], row["fence"] or 0
        replayed = work.event.source == "replay"
        return Past(
            final=status in FINAL and not replayed,
            # The projector may already have this very attempt on record; only an older fence is another.
            attempted=status not in (None, "received") and fence != work.lease.fence,
            messaged=row["message_ref"] is not None,
            contact=row["contact"] or "",
        )

    async def _read(self, asked: Sequence[tuple[UUID, str]]) -> Sequence[asyncpg.Record]:
        ids, leads = zip(*asked, strict=True)
        with translated("reading the event's record"):
            return await self._pool.fetch(_QUERY, list(ids), list(leads), timeout=_TIMEOUT_S)
