"""Project: read both streams from the checkpoint, write rows, archive and checkpoint in one transaction.

Postgres is authoritative on how far it came: a crash anywhere repeats reading, never writing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg

from ops.crashpoints import reached
from ops.postgres import translated
from ops.redis import Client
from ops.together import end_all
from projections import acts, archive, checkpoint, plans
from projections.aside import aside
from projections.batch import Batch, Fact, Position, made
from projections.model import Apply
from projections.models import models
from projections.reading import ReadAhead, Taken, decoded
from projections.redaction import redacted
from projections.subjects.index import SubjectIndex
from projections.webhook_events import REFUSED
from schema.codec import PayloadCodec
from schema.errors import KeyMissing, StorageUnavailable


def read_models(codec: PayloadCodec) -> tuple[Apply, ...]:
    """Everything that a batch is written to, in order: the archive first (see `projections.rebuild`).

    The index of subjects and the notes of acts come last. They are no read models: the index's ids are
    random and most acts are in no event, so a rebuild leaves both alone.
    """
    return archive.apply, *(m.apply for m in models(codec)), SubjectIndex(codec).apply, acts.apply


# What ends a hopeful transaction: a row that looked new is there, or jsonb refuses a payload.
_DASHED = (asyncpg.UniqueViolationError, *REFUSED)
Committed = Callable[[Sequence[Fact], float], None]


def _last(facts: Sequence[Fact]) -> dict[Position, str]:
    """The last entry of each stream."""
    return {(fact.partition, fact.stream): fact.entry_id for fact in facts}


def _untold(_facts: Sequence[Fact], _seconds: float) -> None:
    """Tell nobody."""


class Projector:
    """Projects the streams of all partitions over one connection of each kind."""

    def __init__(
        self,
        conn: asyncpg.Connection,
        reader: Client,
        *,
        partitions: int,
        batch: int,
        models: Sequence[Apply],
        committed: Committed = _untold,
    ) -> None:
        """Prepare.

        Args:
            conn: to Postgres, ours alone.
            reader: to Redis, for blocking reads.
            partitions: how many.
            batch: most entries in one transaction.
            models: what is written.
            committed: is told each batch that is on record, and how long that took (seconds).
        """
        self._committed = committed
        self._conn = conn
        self._reader = ReadAhead(reader, partitions=partitions, batch=batch)
        self._models = models
        self._at: dict[Position, str] | None = None
        self._next = Batch(())
        self._makes: tuple[Callable[[Sequence[Fact]], object], ...] = ()

    async def poll_once(self, block_s: float) -> int:
        """Project what there is, waiting up to ``block_s`` for the first entry; the number projected.

        Raises:
            StorageUnavailable: Redis or Postgres is away; nothing was changed.
            StaleCheckpoint: another projector was here; the next call starts from its checkpoint.
        """
        if self._at is None:
            with translated("loading checkpoints"):
                await self._conn.execute(plans.BY_KEYS)
                self._at = await checkpoint.load(self._conn)
            self._reader.start(self._at)
            self._next = Batch(())
        if not self._next:
            await self._reader.fill(block_s)
            self._next = Batch(decoded(self._reader.take()))
        facts, self._next = self._next, Batch(())
        if facts:
            ahead = asyncio.create_task(self._read_ahead())
            try:
                await self._write(self._at, facts)
            except BaseException:
                await end_all([ahead])
                raise
            await ahead
        return len(facts)

    @property
    def more(self) -> bool:
        """Whether the next call has something to project without waiting for it."""
        return bool(self._next) or self._reader.more

    @property
    def checkpoints(self) -> dict[Position, str]:
        """How far each stream is committed; empty where that is not known for sure."""
        return dict(self._at or {})

    async def _read_ahead(self) -> None:
        """Read the next batch, and make of it what was made of the last, while Postgres is busy with this."""
        if not self._reader.more:
            return
        with suppress(StorageUnavailable, KeyMissing):  # whoever needs it will meet it again
            await self._reader.fill(0)
            taken = self._reader.take()
            await aside(lambda: self._make_ready(taken))

    def _make_ready(self, taken: Taken) -> None:
        self._next = Batch(decoded(taken))
        for make in self._makes:
            self._next.make(make)

    async def aclose(self) -> None:
        """End what is still being read."""
        await self._reader.close()

    async def _write(self, at: dict[Position, str], facts: Batch) -> None:
        after = made(facts, _last)
        begun = time.perf_counter()
        self._at = None  # unless all goes well, the next call asks Postgres how far it came
        with translated("projecting"):
            facts.hopeful = True
            try:
                await self._apply(at, facts, after)
            except _DASHED:
                facts.hopeful = False
                await self._apply(at, facts, after)
        reached("project.after_commit")
        self._at = {**at, **after}
        self._makes = tuple(facts.made)
        seconds = time.perf_counter() - begun
        self._reader.took(seconds)
        self._committed(facts, seconds)

    async def _apply(self, at: dict[Position, str], facts: Batch, after: dict[Position, str]) -> None:
        async with self._conn.transaction():
            bare = await redacted(self._conn, facts)
            for apply in self._models:
                await apply(self._conn, bare)
            await checkpoint.advance(self._conn, at, after)
            reached("project.before_commit")
