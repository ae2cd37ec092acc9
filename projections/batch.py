"""A batch of stream entries on its way into Postgres."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import orjson
import structlog
from msgspec import Struct
from msgspec.structs import fields

from schema.events import EVENTS, Event, EventError, Outcome, WebhookAccepted, decode, text_fields

log = structlog.get_logger()

StreamName = Literal["webhooks", "outcomes"]
Position = tuple[int, StreamName]
Made = TypeVar("Made")

INT_MAX = 2**31 - 1
BIGINT_MAX = 2**63 - 1
LAST_YEAR = 9999
# As `schema.identity` makes them. Other spellings of a UUID would be other events with the same row.
_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII).fullmatch
TIMES: dict[type[Event], tuple[str, ...]] = {
    cls: tuple(field.name for field in fields(cls) if "datetime" in str(field.type)) for cls in EVENTS
}
_LATEST_MS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 1000


class Fact(Struct, frozen=True, gc=False):
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
    def ms(self) -> int:
        """The milliseconds of its stream id (at most the year 9999)."""
        return min(int(self.entry_id.partition("-")[0]), _LATEST_MS)

    @property
    def recorded_at(self) -> datetime:
        """The entry's time: the milliseconds of its stream id."""
        return datetime.fromtimestamp(self.ms / 1000, UTC)

    @property
    def at(self) -> datetime:
        """When it became true: the outcome's own time, else the entry's."""
        event = self.event
        if event is None or type(event) is WebhookAccepted:
            return self.recorded_at
        return event.at or self.recorded_at


def fact_of(partition: int, stream: StreamName, entry_id: str, raw: Mapping[bytes, bytes]) -> Fact:
    """The fact of a raw entry; one that does not decode is said so, never in the projector's way."""
    event: Event | None = None
    try:
        flat = text_fields(raw)
        event = decode(flat)
        _check_storable(event, flat)
    except (EventError, UnicodeDecodeError) as error:
        # A value may be personal data, so only our own words are logged, not those of the decoder.
        log.error("projector.undecodable", stream=stream, entry_id=entry_id, kind=type(error).__name__)  # noqa: TRY400
        readable = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in raw.items()}
        return Fact(partition, stream, entry_id, readable, None)
    return Fact(partition, stream, entry_id, flat, event)


def _check_storable(event: Event, flat: Mapping[str, str]) -> None:
    """Refuse what decodes but fits no column, so that one alien entry cannot stop the record.

    Every entry passes here, so the usual ones are looked at as a whole.

    Raises:
        EventError: no UUID, a number beyond its column, a time without offset, or a NUL character.
    """
    if not _CANONICAL(event.event_id):
        raise EventError("the event id is not a UUID as we write it")
    if isinstance(event, Outcome) and not (0 <= event.attempt <= INT_MAX and 0 <= event.fence <= BIGINT_MAX):
        raise EventError("attempt or fence is out of range")
    for name in TIMES[type(event)]:
        time = getattr(event, name)
        if time is not None and (time.tzinfo is None or not 1 < time.year < LAST_YEAR):
            raise EventError("a time carries no offset or lies beyond all years")
    if "\x00" in "".join(flat.values()):
        values = (getattr(event, field.name) for field in fields(event))
        if any(isinstance(value, str) and "\x00" in value for value in values):
            raise EventError("a field holds a NUL character")


class Batch(list[Fact]):
    """Facts that are written together, and what was made of them (see `made`).

    Attributes:
        events: see `events`.
        hopeful: see `is_hopeful`.
    """

    def __init__(self, facts: Iterable[Fact]) -> None:
        super().__init__(facts)
        self.hopeful = False
        self.made: dict[Callable[[Sequence[Fact]], Any], Any] = {}
        self.events = [(fact, fact.event) for fact in self if fact.event is not None]

    def make(self, make: Callable[[Sequence[Fact]], Any]) -> None:
        """Do already what `made` would do."""
        self.made[make] = make(self)


def made(facts: Sequence[Fact], make: Callable[[Sequence[Fact]], Made]) -> Made:
    """What ``make`` makes of a batch's facts.

    What a read model asks of one batch the projector makes of the next, in a thread while Postgres writes
    this one, so ``make`` must be a function of the facts alone.
    """
    if not isinstance(facts, Batch):
        return make(facts)
    if make not in facts.made:
        facts.make(make)
    found: Made = facts.made[make]
    return found


def is_hopeful(facts: Sequence[Fact]) -> bool:
    """Whether a row that only looks new may end the transaction: the batch is written once more then."""
    return isinstance(facts, Batch) and facts.hopeful


def events(facts: Iterable[Fact]) -> Iterable[tuple[Fact, Event]]:
    """The facts that decode, with their events."""
    if isinstance(facts, Batch):
        return facts.events
    return ((fact, fact.event) for fact in facts if fact.event is not None)


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows turned into one array per column, for ``unnest``."""
    return [list(column) for column in zip(*rows, strict=True)]


def json_object(text: str | None) -> str | None:
    """Our own small JSON objects, or None where somebody wrote anything else."""
    if not text or "u0000" in text:
        return None
    try:
        return text if isinstance(orjson.loads(text), dict) else None
    except orjson.JSONDecodeError:
        return None
