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

_QUERY = "SELECT status, fence FROM webhook_events WHERE id = $1"
_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of an event.

    Attributes:
        final: it reached its end before, and this is no replay: nothing is to be done.
        attempted: an attempt other than this one is on record.
    """

    final: bool
    attempted: bool


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
            row = await self._pool.fetchrow(_QUERY, UUID(work.event.event_id), timeout=_TIMEOUT_S)
        if row is None:
            return Past(final=False, attempted=False)
        status, fence = row["status"], row["fence"] or 0
        replayed = work.event.source == "replay"
        return Past(
            final=status in FINAL and not replayed,
            # The projector may already have this very attempt on record; only an older fence is another.
            attempted=status != "received" and fence != work.lease.fence,
        )
