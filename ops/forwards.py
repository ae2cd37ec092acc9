"""Forwards: copies of webhooks for ``FORWARD_URL``, kept in Postgres until they are delivered.

A copy is written with its webhook, in the same step: into the stream ``forwards``, or with the spool's row
into this table. From the stream it is moved here; a copy that is here already is not taken twice, so moving
and repeating are harmless. Delivery is at least once: whoever claims a copy has a lease on it, and whoever
dies with it leaves it to the next.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from ops.postgres import translated
from schema.calls import Appending
from schema.errors import StorageUnavailable

_TIMEOUT_S = 5.0

# asyncpg hands out proxies of its connections; all of these execute.
Connection = asyncpg.Connection | asyncpg.Pool | Any

_PUT = """
INSERT INTO forwards (id, lead_id, received_at, headers, body)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::jsonb[], $5::text[])
ON CONFLICT (id) DO NOTHING
"""
_CLAIM = """
UPDATE forwards SET attempts = attempts + 1, due_at = NOW() + make_interval(secs => $2)
WHERE id IN (
    SELECT id FROM forwards WHERE state = 'waiting' AND due_at <= NOW()
    ORDER BY received_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING id::text, lead_id, received_at, headers, body, attempts
"""
_DELIVERED = """
UPDATE forwards SET state = 'delivered', body = NULL, last_error = NULL, last_at = NOW() WHERE id = $1
"""
_FAILED = """
UPDATE forwards SET last_error = $2, last_at = NOW(), due_at = NOW() + make_interval(secs => $3),
    state = CASE WHEN received_at < NOW() - make_interval(secs => $4) THEN 'failed' ELSE 'waiting' END
WHERE id = $1 AND state = 'waiting'
RETURNING state
"""
_STANDING = """
SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    min(received_at) FILTER (WHERE state = 'waiting') AS oldest,
    extract(epoch FROM min(due_at) FILTER (WHERE state = 'waiting') - NOW())::float8 AS due_in_s,
    extract(epoch FROM NOW() - min(received_at) FILTER (WHERE state = 'waiting'))::float8 AS oldest_s
FROM forwards WHERE state <> 'delivered'
"""
_LAST_DELIVERED = """
SELECT count(*) AS delivered, max(last_at) AS last_at FROM forwards WHERE state = 'delivered'
"""
_LAST_ERROR = """
SELECT last_error, last_at FROM forwards WHERE state <> 'delivered' AND last_error IS NOT NULL
ORDER BY last_at DESC LIMIT 1
"""
_RETRY = """
UPDATE forwards SET state = 'waiting', due_at = NOW()
WHERE state <> 'delivered' AND ($1::uuid IS NULL OR id = $1) AND NOT (state = 'waiting' AND due_at <= NOW())
"""
_SWEEP = "DELETE FROM forwards WHERE state = 'delivered' AND received_at < NOW() - make_interval(secs => $1)"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that somebody else took out of the stream.

    Attributes:
        headers: a JSON object.
        body: as the codec stores it.
    """

    id: str
    lead_id: str
    received_at: datetime
    headers: str
    body: str


@dataclass(frozen=True, slots=True)
class Claimed(Copy):
    """A copy to be delivered now; ``attempts`` counts this one."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand.

    Attributes:
        due_in_s: until the next attempt is due (negative: overdue); None where nothing waits.
        oldest: when the oldest that waits was received, and its age in seconds.
    """

    waiting: int
    failed: int
    oldest: datetime | None
    due_in_s: float | None
    oldest_s: float | None


async def put_copies(conn: Connection, copies: Sequence[Copy]) -> None:
    """Keep copies, in any transaction; those known by their id are passed over."""
    columns = (
        [UUID(c.id) for c in copies],
        [c.lead_id for c in copies],
        [c.received_at for c in copies],
        [c.headers for c in copies],
        [c.body for c in copies],
    )
    await conn.execute(_PUT, *columns, timeout=_TIMEOUT_S)


def copies_in(items: Sequence[Appending]) -> list[Copy]:
    """The copies that webhooks carry."""
    return [
        Copy(f.id, i.event.lead_id, i.event.received_at, f.headers, f.body or i.event.payload)
        for i in items
        if (f := i.forward) is not None
    ]


@contextmanager
def usable(doing: str) -> Iterator[None]:
    """Raise `StorageUnavailable` where Postgres, or our table in it, is not there."""
    with translated(doing):
        try:
            yield
        except asyncpg.UndefinedTableError as error:
            raise StorageUnavailable(
                "Postgres holds no table forwards: run `c2s migrate` on DATABASE_URL"
            ) from error


class Forwards:
    """The table ``forwards``.

    Every method raises `StorageUnavailable` where Postgres is away, or the table is (not migrated yet).
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, copies: Sequence[Copy]) -> None:
        """Keep copies; those that are here already are passed over."""
        with usable("keeping forwards"):
            await put_copies(self._pool, copies)

    async def claim(self, most: int, lease_s: float) -> list[Claimed]:
        """Copies that are due, the oldest first; for ``lease_s`` seconds nobody else gets them."""
        with usable("claiming forwards"):
            rows = await self._pool.fetch(_CLAIM, most, lease_s, timeout=_TIMEOUT_S)
        claimed = [Claimed(**dict(row)) for row in rows]
        return sorted(claimed, key=lambda c: (c.received_at, c.id))

    async def delivered(self, forward_id: str) -> None:
        """It arrived; its body is not kept."""
        with usable("recording a forward"):
            await self._pool.execute(_DELIVERED, UUID(forward_id), timeout=_TIMEOUT_S)

    async def failed(self, forward_id: str, error: str, *, delay_s: float, give_up_s: float) -> bool:
        """It did not arrive; whether it is given up now, being older than ``give_up_s``."""
        with usable("recording a forward"):
            state = await self._pool.fetchval(
                _FAILED, UUID(forward_id), error, delay_s, give_up_s, timeout=_TIMEOUT_S
            )
        return bool(state == "failed")

    async def standing(self) -> Standing:
        """What is not delivered yet."""
        with usable("counting forwards"):
            rows = await self._pool.fetch(_STANDING, timeout=_TIMEOUT_S)
        return Standing(**dict(rows[0]))

    async def history(self) -> dict[str, object]:
        """How many were delivered (of those still kept), when the last one was, and the last error."""
        with usable("counting forwards"):
            done = (await self._pool.fetch(_LAST_DELIVERED, timeout=_TIMEOUT_S))[0]
            error = await self._pool.fetchrow(_LAST_ERROR, timeout=_TIMEOUT_S)
        return {
            "delivered": done["delivered"],
            "last_delivered_at": done["last_at"],
            "last_error": error["last_error"] if error else None,
            "last_error_at": error["last_at"] if error else None,
        }

    async def retry(self, forward_id: str | None = None) -> int:
        """Make one, or all that are given up or wait for a later attempt, due now; how many."""
        with usable("retrying forwards"):
            done = await self._pool.execute(
                _RETRY, UUID(forward_id) if forward_id else None, timeout=_TIMEOUT_S
            )
        return int(done.rpartition(" ")[2])

    async def sweep(self, age_s: float) -> None:
        """Forget what was delivered and is older."""
        with usable("forgetting forwards"):
            await self._pool.execute(_SWEEP, age_s, timeout=_TIMEOUT_S)
