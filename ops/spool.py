"""The spool: a table in Postgres that takes webhooks while Redis cannot.

Rows are drained into the stream in the order of their ids, by one process at a time (an advisory lock that
ends with its transaction), and marked in the transaction that appended them. A crash between the two
appends a row again; and what is spooled may have reached the stream before, its reply lost twice. So rows are
appended with ``again``: what the stream has of this very delivery is found there, not counted as a duplicate.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

import asyncpg

from ops.forwards import copies_in, put_copies
from ops.postgres import translated
from schema.calls import Appended, Appending
from schema.errors import StorageUnavailable
from schema.events import WebhookAccepted

_CHUNK = 64
_TIMEOUT_S = 5.0
_LOCK = 0x63327370  # any constant of our own; pg_try_advisory_xact_lock's key

_PUT = """
INSERT INTO ingress_spool
    (event_id, lead_id, action, version, source, received_at, traceparent, payload, dedup_key, known)
SELECT event_id, lead_id, action, version, source, received_at, traceparent, payload, dedup_key, known
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
    $8::text[], $9::text[], $10::bool[]) WITH ORDINALITY
    AS t(event_id, lead_id, action, version, source, received_at, traceparent, payload, dedup_key, known, n)
ORDER BY n
"""
_TAKE = """
SELECT id, event_id, lead_id, action, version, source, received_at, traceparent, payload, dedup_key, known
FROM ingress_spool WHERE drained_at IS NULL ORDER BY id LIMIT $1
"""
_MARK = "UPDATE ingress_spool SET drained_at = NOW() WHERE id = ANY($1::bigint[])"
_EMPTY = "SELECT NOT EXISTS (SELECT FROM ingress_spool WHERE drained_at IS NULL)"


class Appends(Protocol):
    """What the spool is drained into."""

    async def append_all(self, items: Sequence[Appending], *, again: bool = False) -> list[Appended]: ...


class Spool:
    """Reads and writes the table ``ingress_spool``.

    Every method raises `StorageUnavailable` where Postgres is away, or the table is (not migrated yet).
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, items: Sequence[Appending]) -> None:
        """Store webhooks durably, in order, all or none; with them what is to be passed on."""
        events = [i.event for i in items]
        columns = (
            [UUID(e.event_id) for e in events],
            [e.lead_id for e in events],
            [e.action for e in events],
            [e.version for e in events],
            [e.source for e in events],
            [e.received_at for e in events],
            [e.traceparent for e in events],
            [e.payload for e in events],
            [i.dedup_key for i in items],
            [i.known for i in items],
        )
        copies = copies_in(items)
        with _usable("writing to the spool"):
            if not copies:
                await self._pool.execute(_PUT, *columns, timeout=_TIMEOUT_S)
                return
            async with self._pool.acquire(timeout=_TIMEOUT_S) as conn, conn.transaction():
                await conn.execute(_PUT, *columns, timeout=_TIMEOUT_S)
                await put_copies(conn, copies)

    async def is_empty(self) -> bool:
        """Whether nothing waits to be drained; raising nothing, it also says that the spool can be used."""
        with _usable("looking into the spool"):
            return bool(await self._pool.fetchval(_EMPTY, timeout=_TIMEOUT_S))

    async def drain(self, appender: Appends, *, most: int = 10_000) -> int:
        """Append what waits, oldest first.

        Args:
            appender: where to.
            most: ends after about so many.

        Returns:
            How many rows were appended; 0 also while another process is at it.

        Raises:
            StorageUnavailable: Redis or Postgres is away; what was marked before stays marked.
        """
        done = 0
        while done < most:
            count = await self._drain_chunk(appender)
            done += count
            if count < _CHUNK:
                break
        return done

    async def _drain_chunk(self, appender: Appends) -> int:
        with _usable("draining the spool"):
            async with self._pool.acquire(timeout=_TIMEOUT_S) as conn, conn.transaction():
                if not await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                    return 0
                rows = await conn.fetch(_TAKE, _CHUNK, timeout=_TIMEOUT_S)
                if rows:
                    await appender.append_all([_item(row) for row in rows], again=True)
                    await conn.execute(_MARK, [row["id"] for row in rows], timeout=_TIMEOUT_S)
                return len(rows)


@contextmanager
def _usable(doing: str) -> Iterator[None]:
    """Raise `StorageUnavailable` where Postgres, or our table in it, is not there."""
    with translated(doing):
        try:
            yield
        except asyncpg.UndefinedTableError as error:
            raise StorageUnavailable(
                "Postgres lacks a table of ours: run `c2s migrate` on DATABASE_URL"
            ) from error


def _item(row: asyncpg.Record) -> Appending:
    event = WebhookAccepted(
        event_id=str(row["event_id"]),
        lead_id=row["lead_id"],
        action=row["action"],
        version=row["version"],
        source=row["source"],
        received_at=row["received_at"],
        traceparent=row["traceparent"],
        payload=row["payload"],
    )
    return Appending(event, row["dedup_key"], row["known"])
