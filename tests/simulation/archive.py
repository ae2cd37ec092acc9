"""Postgres as the pipeline sees it: the streams' past, seen late, sometimes not at all.

The real query (`processor.history`) is answered from the real fold (`projections.rows`) over what a projector
that lags would have written by now.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ops.unprojected import position
from projections.batch import Fact, StreamName, fact_of
from projections.rows import fold
from schema.events import LeadProcessed
from schema.keys import Keys
from simulation.redis_model import RedisModel
from simulation.streams import Stream, text_of


@dataclass
class Archive:
    """Stands in for an asyncpg pool.

    Attributes:
        p_fault: probability that Postgres is away.
        lag_s: how far the record is behind the streams, now.
        partitions: how many there are.
    """

    model: RedisModel
    rng: random.Random
    lag_s: Callable[[], float]
    p_fault: float = 0.0
    partitions: int = 1
    _facts: dict[tuple[int, str, str], Fact] = field(default_factory=dict)

    async def fetch(self, _query: str, ids: list[UUID], leads: list[str], **_: Any) -> list[dict[str, Any]]:
        """The answer to `processor.history`'s query."""
        if self.rng.random() < self.p_fault:
            raise OSError("simulated: Postgres is away")
        return [self._past(event_id, lead_id) for event_id, lead_id in zip(ids, leads, strict=True)]

    def _past(self, event_id: UUID, lead_id: str) -> dict[str, Any]:
        until_ms = self.model.now_ms - 1000 * self.lag_s()
        facts = [f for f in self.facts() if int(f.entry_id.partition("-")[0]) <= until_ms]
        row = next(iter(fold([f for f in facts if f.event and f.event.event_id == str(event_id)])), None)
        processed = [f.event for f in facts if isinstance(f.event, LeadProcessed)]
        told = [event for event in reversed(processed) if event.lead_id == lead_id]
        return {
            "status": row and row.status,
            "fence": row and row.fence,
            "message_ref": next((event.message_ref for event in told if event.message_ref), None),
            "contact": next((event.contact for event in told if event.contact), None),
        }

    def facts(self) -> list[Fact]:
        """All that the streams hold, in order of the streams; of several partitions, in the order of time."""
        webhooks, outcomes = self._streams("webhooks"), self._streams("outcomes")
        if self.partitions > 1:
            webhooks.sort(key=lambda fact: (position(fact.entry_id), fact.partition))
            outcomes.sort(key=lambda fact: fact.at)
        return [*webhooks, *outcomes]

    def _streams(self, name: StreamName) -> list[Fact]:
        return [fact for partition in range(self.partitions) for fact in self._stream(name, partition)]

    def _stream(self, name: StreamName, partition: int) -> list[Fact]:
        keys = Keys(partition)
        key = keys.webhooks if name == "webhooks" else keys.outcomes
        stream: Stream = self.model.get(key.encode(), Stream) or Stream()
        found = []
        for entry_id in stream.ids:
            text = text_of(entry_id).decode()
            if (partition, name, text) not in self._facts:
                body = stream.bodies[entry_id]
                raw = dict(zip(body[::2], body[1::2], strict=True))
                self._facts[partition, name, text] = fact_of(partition, name, text, raw)
            found.append(self._facts[partition, name, text])
        return found
