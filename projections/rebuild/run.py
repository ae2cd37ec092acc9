"""The rebuild itself; the package's docstring tells its order and why it is right."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from ops.redis import Client
from projections import archive, checkpoint, plans
from projections.batch import Batch, Fact, Position
from projections.model import ReadModel, Table
from projections.rebuild import tables as new
from projections.rebuild.compare import Compared, Difference, compare
from projections.rebuild.history import History, unarchived
from projections.redaction import redacted
from schema.errors import LeadstreamError, StorageUnavailable

LOCK = 0x633273_03  # held by a running rebuild
_LITTLE = 2_000  # entries left that are applied while the projector waits
_PASSES = 20
_SKEW = timedelta(hours=1)  # rows may carry times of the door's clock, the archive those of Redis
_LOCK_TRIES = 40
_LOCK_TIMEOUT = "3s"
_PAUSE_S = 0.25
_RIVAL_S = 10.0  # dropping old payloads takes the rebuild's lock batch by batch: a moment's wait gets it
_HELD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

Progress = Callable[[str, int, int], None]


class RebuildError(LeadstreamError):
    """The rebuild could not be carried out; everything is as it was."""


@dataclass(slots=True)
class Report:
    """What a rebuild found and did.

    Attributes:
        entries: facts applied.
        applied_s: seconds spent on applying them.
        held_s: seconds during which the projector had to wait; 0 for a check.
        tables: each table's verdict.
        copied: rows per table that are older than the archive, copied instead of rebuilt.
        unarchived: entries behind the checkpoint that the streams hold and the archive did not.
        notes: what could not be looked at.
    """

    entries: int = 0
    applied_s: float = 0.0
    held_s: float = 0.0
    swapped: bool = False
    tables: dict[str, Compared] = field(default_factory=dict)
    copied: dict[str, int] = field(default_factory=dict)
    unarchived: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def differences(self) -> int:
        """How many rows and entries are not as they should be."""
        return sum(table.differences for table in self.tables.values()) + len(self.unarchived)

    @property
    def examples(self) -> list[Difference]:
        """Differences told in full."""
        return [example for table in self.tables.values() for example in table.examples]


class Rebuild:
    """One rebuild over one connection, which nothing else may use meanwhile."""

    def __init__(
        self,
        conn: asyncpg.Connection,
        client: Client,
        models: Sequence[ReadModel],
        progress: Progress,
        *,
        rival_s: float = _RIVAL_S,
    ) -> None:
        """Prepare.

        Args:
            conn: Postgres, without a time limit on commands.
            client: Redis; where it is away the streams are not looked at.
            models: what to rebuild: all of them, for their SQL names each other's tables.
            progress: told what is being done, how much of it is done, and of how much.
            rival_s: how long to wait for whoever else holds the rebuild's lock.
        """
        self._conn = conn
        self._client = client
        self._models = models
        self._progress = progress
        self._rival_ms = round(rival_s * 1000)
        self._tables: list[Table] = [table for model in models for table in model.tables]
        self._history = History(conn)
        self._report = Report()

    async def check(self) -> Report:
        """Rebuild on one snapshot, compare, and leave nothing behind.

        Raises:
            RebuildError: another rebuild is running.
        """
        transaction = self._conn.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            await self._begin()
            await self._catch_up()
            await self._mend(keep=False)
            for table in self._tables:
                await self._conn.execute(f"ANALYZE {table.name}")
            await self._compare()
        finally:
            await transaction.rollback()
        return self._report

    async def swap(self) -> Report:
        """Rebuild, compare, and put the new tables in the live ones' place while traffic goes on.

        Raises:
            RebuildError: another rebuild is running, or somebody held the tables for too long.
        """
        async with self._conn.transaction():
            await self._begin()
            await self._catch_up()
            await new.complete(self._conn, self._tables)
            for _ in range(_PASSES):
                if await self._catch_up() < _LITTLE:
                    break
            await self._lock("LOCK TABLE public.event_log IN SHARE MODE")
            held = time.monotonic()
            await self._catch_up()
            await self._mend(keep=True)
            await self._compare()
            names = ", ".join(f"public.{table.name}" for table in self._tables)
            await self._lock(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            await new.exchange(self._conn, self._tables)
        self._report.held_s = time.monotonic() - held
        self._report.swapped = True
        for table in self._tables:
            await self._conn.execute(f"VACUUM public.{table.name}")  # for index-only scans
        return self._report

    async def _begin(self) -> None:
        await self._alone()
        self._total = await self._conn.fetchval("SELECT count(*) FROM public.event_log")
        await new.create(self._conn, self._tables)
        self._horizon: datetime | None = await self._conn.fetchval(
            "SELECT max(before) FROM public.event_log_dropped"
        )
        if self._horizon is not None:
            for table in self._tables:
                copied = await new.copy_older(self._conn, table, self._horizon + _SKEW)
                self._report.copied[table.name] = copied

    async def _alone(self) -> None:
        """Hold the rebuild's lock to the end of the transaction."""
        await self._conn.execute(f"SET LOCAL lock_timeout TO {self._rival_ms}")
        try:
            await self._conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        except asyncpg.LockNotAvailableError:
            raise RebuildError("another rebuild is running") from None
        await self._conn.execute("SET LOCAL lock_timeout TO DEFAULT")

    async def _catch_up(self) -> int:
        before = self._report.entries
        async for facts in self._history.chunks():
            await self._apply(facts)
        return self._report.entries - before

    async def _apply(self, facts: Sequence[Fact]) -> None:
        begun = time.monotonic()
        await self._conn.execute(plans.BY_KEYS)
        facts = Batch(await redacted(self._conn, facts))
        for model in self._models:
            await model.apply(self._conn, facts)
        await self._conn.execute(plans.AS_USUAL)
        self._report.entries += len(facts)
        self._report.applied_s += time.monotonic() - begun
        done = self._report.entries
        self._progress("applying the archive", done, max(done, self._total))

    async def _mend(self, *, keep: bool) -> None:
        """Apply what the streams hold and the archive lacks; ``keep`` archives it, too."""
        until: dict[Position, str] = await _checkpoints(self._conn)
        try:
            async for facts in unarchived(self._conn, self._client, until, self._horizon):
                self._report.unarchived += [f"{f.stream} {f.partition} {f.entry_id}" for f in facts]
                await self._apply(facts)
                if keep:
                    await self._conn.execute("SET LOCAL search_path TO public")
                    await archive.apply(self._conn, await redacted(self._conn, facts))
                    await self._conn.execute(f"SET LOCAL search_path TO {new.SCHEMA}")
        except StorageUnavailable as error:
            self._report.notes.append(f"the streams were not looked at: {error}")

    async def _compare(self) -> None:
        for number, table in enumerate(self._tables):
            self._progress(f"comparing {table.name}", number, len(self._tables))
            self._report.tables[table.name] = await compare(self._conn, table)
        self._progress("comparing", len(self._tables), len(self._tables))

    async def _lock(self, statement: str) -> None:
        """Take table locks, never queueing for long in front of everybody else."""
        for _ in range(_LOCK_TRIES):
            try:
                async with self._conn.transaction():
                    await self._conn.execute(f"SET LOCAL lock_timeout TO '{_LOCK_TIMEOUT}'")
                    await self._conn.execute(statement)
            except _HELD:
                await asyncio.sleep(_PAUSE_S)
            else:
                return
        raise RebuildError("somebody holds the tables in a long transaction; nothing was changed")


async def _checkpoints(conn: asyncpg.Connection) -> dict[Position, str]:
    rows = await conn.fetch(
        "SELECT partition, stream, entry_id FROM public.projection_checkpoints WHERE name = $1",
        checkpoint.NAME,
    )
    return {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
