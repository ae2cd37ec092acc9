"""Project: read both streams from the checkpoint, write rows, archive and checkpoint in one transaction.

Postgres is authoritative on how far it came: a crash anywhere repeats reading, never writing.
"""

import time
from collections.abc import Callable, Sequence

import asyncpg

from ops.crashpoints import reached
from ops.postgres import translated
from ops.redis import Client
from ops.redis import translated as redis_translated
from ops.redis_streams import StreamReads
from projections import acts, archive, checkpoint
from projections.batch import Fact, Position, fact_of
from projections.model import Apply
from projections.models import models
from projections.redaction import redacted
from projections.subjects.index import SubjectIndex
from schema.codec import PayloadCodec
from schema.keys import Keys


def read_models(codec: PayloadCodec) -> tuple[Apply, ...]:
    """Everything that a batch is written to, in order: the archive first (see `projections.rebuild`).

    The index of subjects and the notes of acts come last. They are no read models: the index's ids are
    random and most acts are in no event, so a rebuild leaves both alone.
    """
    return archive.apply, *(m.apply for m in models(codec)), SubjectIndex(codec).apply, acts.apply


Committed = Callable[[Sequence[Fact], float], None]


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
        self._reads = StreamReads(reader)
        self._batch = batch
        self._models = models
        self._streams: dict[str, Position] = {}
        for partition in range(partitions):
            keys = Keys(partition)
            self._streams[keys.webhooks] = (partition, "webhooks")
            self._streams[keys.outcomes] = (partition, "outcomes")
        self._at: dict[Position, str] | None = None

    async def poll_once(self, block_s: float) -> int:
        """Project what there is, waiting up to ``block_s`` for the first entry; the number projected.

        Raises:
            StorageUnavailable: Redis or Postgres is away; nothing was changed.
            StaleCheckpoint: another projector was here; the next call starts from its checkpoint.
        """
        if self._at is None:
            with translated("loading checkpoints"):
                self._at = await checkpoint.load(self._conn)
        at = self._at
        facts = await self._read(at, block_s)
        for start in range(0, len(facts), self._batch):  # the reply holds a batch of every stream
            at = await self._write(at, facts[start : start + self._batch])
        return len(facts)

    @property
    def checkpoints(self) -> dict[Position, str]:
        """How far each stream is committed; empty where that is not known for sure."""
        return dict(self._at or {})

    async def _read(self, at: dict[Position, str], block_s: float) -> list[Fact]:
        marks = {name: at.get(position, checkpoint.START) for name, position in self._streams.items()}
        with redis_translated("reading the streams"):
            found = await self._reads.read(marks, count=self._batch, block_s=block_s)
        facts = []
        for name, rows in found:
            partition, stream = self._streams[name]
            facts += [fact_of(partition, stream, i.decode(), f) for i, f in rows]
        return facts

    async def close(self) -> None:
        """End what is still being read."""
        await self._reads.close()

    async def _write(self, at: dict[Position, str], facts: list[Fact]) -> dict[Position, str]:
        after: dict[Position, str] = {(f.partition, f.stream): f.entry_id for f in facts}
        begun = time.perf_counter()
        self._at = None  # unless all goes well, the next call asks Postgres how far it came
        with translated("projecting"):
            async with self._conn.transaction():
                bare = await redacted(self._conn, facts)
                for apply in self._models:
                    await apply(self._conn, bare)
                await checkpoint.advance(self._conn, at, after)
                reached("project.before_commit")
        reached("project.after_commit")
        self._at = {**at, **after}
        self._committed(facts, time.perf_counter() - begun)
        return self._at
