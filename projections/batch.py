"""A batch of stream entries on its way into Postgres."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from schema.events import Event, EventError, Outcome, decode

log = structlog.get_logger()

StreamName = Literal["webhooks", "outcomes"]
Position = tuple[int, StreamName]


@dataclass(frozen=True, slots=True)
class Fact:
    """One stream entry.

    Attributes:
        event: None where the entry does not decode; it is archived all the same.
    """

    partition: int
    stream: StreamName
    entry_id: str
    fields: dict[str, str]
    event: Event | None

    @property
    def recorded_at(self) -> datetime:
        """The entry's time: the milliseconds of its stream id."""
        return datetime.fromtimestamp(int(self.entry_id.partition("-")[0]) / 1000, UTC)

    @property
    def at(self) -> datetime:
        """When it became true: the outcome's own time, else the entry's."""
        own = self.event.at if isinstance(self.event, Outcome) else None
        return own or self.recorded_at


def fact_of(partition: int, stream: StreamName, entry_id: str, fields: dict[str, str]) -> Fact:
    """The fact of a raw entry; one that does not decode is said so, never in the projector's way."""
    event: Event | None
    try:
        event = decode(fields)
    except EventError as error:
        log.error("projector.undecodable", stream=stream, entry_id=entry_id, error=str(error))  # noqa: TRY400 -- text suffices
        event = None
    return Fact(partition, stream, entry_id, fields, event)


def events(facts: Sequence[Fact]) -> Iterator[tuple[Fact, Event]]:
    """The facts that decode, with their events."""
    return ((fact, fact.event) for fact in facts if fact.event is not None)


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows turned into one array per column, for ``unnest``."""
    return [list(column) for column in zip(*rows, strict=True)]
