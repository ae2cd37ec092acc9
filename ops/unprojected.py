"""What the streams hold and the record does not yet: the tail behind the projector's checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.redis import Client, translated
from schema.events import Event, EventError, decode, text_fields
from schema.keys import Keys

_PAGE = 1000
_MOST_ENTRIES = 200_000  # a projector that is further behind is a problem of its own

Place = tuple[int, str]  # partition and stream
Position = tuple[int, int]  # a stream id's milliseconds and sequence


@dataclass(frozen=True, slots=True)
class Fact:
    """One stream entry: where it stands and what it says.

    Attributes:
        stream: ``webhooks`` or ``outcomes``.
        recorded: whether the record (Postgres) has it; else it is in Redis only.
    """

    partition: int
    stream: str
    entry_id: str
    event: Event
    recorded: bool

    @property
    def place(self) -> tuple[int, str, str]:
        """What tells it from every other entry."""
        return self.partition, self.stream, self.entry_id

    @property
    def order(self) -> tuple[Position, int]:
        """By time; within a millisecond the webhook before what followed from it."""
        return position(self.entry_id), 0 if self.stream == "webhooks" else 1


def position(entry_id: str) -> Position:
    """A stream id as numbers, so that ids compare by time."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence or 0)


async def read_tail(
    client: Client, partitions: int, checkpoints: Mapping[Place, str], wanted: Callable[[Event], bool]
) -> tuple[list[Fact], bool]:
    """The wanted facts behind the checkpoints, and whether all of the tail was read.

    Args:
        client: Redis.
        partitions: how many there are.
        checkpoints: the last recorded entry id of each stream; the whole stream is read where it is missing.
        wanted: picks events.

    Raises:
        StorageUnavailable: Redis is away.
    """
    found: list[Fact] = []
    whole = True
    for partition in range(partitions):
        keys = Keys(partition)
        for stream, key in (("webhooks", keys.webhooks), ("outcomes", keys.outcomes)):
            after = checkpoints.get((partition, stream), "")
            seen = 0
            while True:
                with translated("reading a stream's tail"):
                    rows: Any = await client.xrange(key, min=f"({after}" if after else "-", count=_PAGE)
                for raw_id, fields in rows:
                    after = raw_id.decode()
                    event = _decoded(fields)
                    if event is not None and wanted(event):
                        found.append(Fact(partition, stream, after, event, recorded=False))
                seen += len(rows)
                if len(rows) < _PAGE:
                    break
                if seen >= _MOST_ENTRIES:
                    whole = False
                    break
    return found, whole


def _decoded(fields: Mapping[bytes, bytes]) -> Event | None:
    try:
        return decode(text_fields(fields))
    except (EventError, UnicodeDecodeError):
        return None  # written by hand or by a newer version; the projector reports it
