"""Runs of reconcile in Postgres: one at a time, resumed where they were killed, their calls at a distance."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ops.postgres import connect, translated
from ops.settings import Settings
from schema.errors import LeadstreamError

_LOCK = 0x633273_04  # any constant of our own; pg_try_advisory_lock's key
_CLOSE_S = 2.0

_BEGIN = """
INSERT INTO reconcile_runs (since, appends, instance) VALUES ($1, $2, $3) RETURNING *
"""
_UNFINISHED = "SELECT * FROM reconcile_runs WHERE state = 'running' AND appends = $1"
_SAVE = """
UPDATE reconcile_runs SET next_page = $2, page_size = $3, leads = $4, found = $5, missing = $6, appended = $7,
    instance = $8 WHERE id = $1
"""
_END = "UPDATE reconcile_runs SET state = $2, ended_at = NOW() WHERE id = $1"
# Evenly spaced (GCRA) by Postgres's clock; the lock makes sure that one run at a time reserves.
_RESERVE = """
UPDATE reconcile_runs SET last_call_at = greatest(
    clock_timestamp(),
    coalesce((SELECT max(last_call_at) FROM reconcile_runs), '-infinity') + make_interval(secs => $2))
WHERE id = $1
RETURNING extract(epoch FROM last_call_at - clock_timestamp())::float8
"""
_DUE = """
SELECT CASE WHEN bool_or(state = 'running') OR count(*) FILTER (WHERE state = 'done') = 0 THEN 0.0
    ELSE extract(epoch FROM max(started_at) FILTER (WHERE state = 'done') - NOW())::float8 + $1 END AS wait_s,
    max(started_at) FILTER (WHERE state = 'done') AS last_at, NOW() AS now
FROM reconcile_runs WHERE appends
"""


class ReconcileBusy(LeadstreamError):  # noqa: N818 -- a state of the world
    """Another instance reconciles at present."""


@dataclass(slots=True)
class Run:
    """One comparison; its counts grow page by page (see the table's comments)."""

    id: int
    since: datetime
    started_at: datetime
    next_page: int
    page_size: int
    leads: int
    found: int
    missing: int
    appended: int


@dataclass(frozen=True, slots=True)
class Due:
    """When the next scheduled run is due.

    Attributes:
        wait_s: seconds until then; 0 or less for now.
        last_at: when the last whole run started, or None.
        now: by Postgres's clock.
    """

    wait_s: float
    last_at: datetime | None
    now: datetime


class Runs:
    """Reads and writes ``reconcile_runs`` over the connection that holds the lock.

    Every method raises `StorageUnavailable` where Postgres is away.
    """

    def __init__(self, conn: asyncpg.Connection, instance: str) -> None:
        self.conn = conn
        self._instance = instance

    async def open(self, since: datetime, *, appends: bool) -> Run:
        """The run that was killed, if it looks back as far; else a new one."""
        with translated("opening a reconcile run"):
            row = await self.conn.fetchrow(_UNFINISHED, appends)
            if row is not None and row["since"] > since:
                await self.conn.execute(_END, row["id"], "superseded")
                row = None
            if row is None:
                row = await self.conn.fetchrow(_BEGIN, since, appends, self._instance)
        assert row is not None  # noqa: S101 -- INSERT ... RETURNING gives a row
        return Run(**{name: row[name] for name in Run.__slots__})

    async def reserve(self, run: Run, interval_s: float) -> float:
        """Reserve the next call; seconds to wait until its moment."""
        with translated("reserving a call"):
            return max(0.0, float(await self.conn.fetchval(_RESERVE, run.id, interval_s)))

    async def save(self, run: Run) -> None:
        """Keep a run's progress."""
        with translated("saving a reconcile run"):
            await self.conn.execute(
                _SAVE,
                run.id,
                run.next_page,
                run.page_size,
                run.leads,
                run.found,
                run.missing,
                run.appended,
                self._instance,
            )

    async def end(self, run: Run) -> None:
        """The run is whole."""
        with translated("ending a reconcile run"):
            await self.conn.execute(_END, run.id, "done")


@asynccontextmanager
async def exclusive(settings: Settings) -> AsyncIterator[Runs]:
    """The right to reconcile, for as long as the block lasts.

    Raises:
        ReconcileBusy: another instance has it.
        StorageUnavailable: Postgres is away.
    """
    conn = await connect(settings, application_name=f"c2s-reconcile-{settings.instance}")
    try:
        with translated("taking reconcile's lock"):
            if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                raise ReconcileBusy("another instance reconciles at present; see the table reconcile_runs")
        yield Runs(conn, settings.instance)
    finally:
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await conn.close(timeout=_CLOSE_S)


async def when_due(settings: Settings, every_s: float) -> Due:
    """When the next scheduled run is due.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    conn = await connect(settings, application_name=f"c2s-reconcile-{settings.instance}")
    try:
        with translated("reading when to reconcile"):
            row = await conn.fetchrow(_DUE, every_s)
    finally:
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await conn.close(timeout=_CLOSE_S)
    assert row is not None  # noqa: S101 -- an aggregate gives a row
    return Due(float(row["wait_s"]), row["last_at"], row["now"])
