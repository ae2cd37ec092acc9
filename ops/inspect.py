"""Reads for the operator: lists of events, and one event's whole story.

A story is told from the archive in Postgres plus the streams' tail that is not recorded yet. Where one of
the two is away, the other tells what it knows, and a note says so.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from ops.postgres import connect, translated
from ops.queries import query
from ops.redis import Client, command_client
from ops.redis import translated as redis_translated
from ops.settings import Settings
from ops.unprojected import Fact, Place, position, read_tail
from schema.errors import LeadstreamError, StorageUnavailable
from schema.events import Event, EventError, WebhookAccepted, decode
from schema.keys import Keys
from schema.status import FINAL

Row = dict[str, Any]
_BOOKKEEPING = frozenset({"attempt", "verify", "clean"})  # fields of the steps hash that are not steps


class Unmigrated(LeadstreamError):  # noqa: N818 -- a state of the world
    """The database has no tables of ours."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events to list; None lets everything pass. Times are compared with ``received_at``.

    Attributes:
        until: received before that.
        before: time of receipt and id of an event: only those that come after it in the list.
    """

    lead_id: str | None = None
    status: str | None = None
    action: str | None = None
    since: datetime | None = None
    limit: int = 20
    before: tuple[datetime, UUID] | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One event from receipt to end.

    Attributes:
        row: its row in ``webhook_events``, or None where it has none yet.
        facts: in the order of the streams.
        steps: names of the steps finished so far, while it has no end.
    """

    event_id: str
    row: Row | None
    facts: tuple[Fact, ...]
    steps: tuple[str, ...] = ()


@dataclass(slots=True)
class Stories:
    """What was asked for, and what stood in the way of knowing more."""

    stories: list[Story] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def list_events(settings: Settings, which: Filter) -> list[Row]:
    """Events from the record, newest first.

    Raises:
        StorageUnavailable: Postgres is away.
        Unmigrated: there is no record.
    """
    async with _record(settings) as connection:
        return await select_events(connection, which)


async def select_events(connection: asyncpg.Connection | asyncpg.Pool, which: Filter) -> list[Row]:
    """The same over a connection that is open already."""
    at, event_id = which.before or (None, None)
    args = (which.lead_id, which.status, which.action, which.since, which.limit, at, event_id, which.until)
    return [dict(row) for row in await connection.fetch(query("events_list"), *args)]


async def read_stories(settings: Settings, name: str) -> Stories:
    """The story of an event, or of every event of a lead.

    Args:
        settings: of the system.
        name: an event id or a lead id.

    Raises:
        StorageUnavailable: neither Postgres nor Redis can be reached.
    """
    event_id, lead_id = _event_id(name), name
    found = Stories()
    rows: dict[str, Row] = {}
    facts: list[Fact] = []
    checkpoints: dict[Place, str] = {}
    away: list[StorageUnavailable] = []
    try:
        async with _record(settings) as connection:
            rows, facts, checkpoints = await _recorded(connection, event_id, lead_id)
            found.notes += await _spooled(connection, event_id, lead_id)
    except StorageUnavailable as error:
        away.append(error)
        found.notes.append(f"the record is away, so this is what Redis still holds ({error})")
    client = command_client(settings.redis_url.get_secret_value())
    try:
        known = set(rows)

        def wanted(event: Event) -> bool:
            return event.lead_id == lead_id or event.event_id == event_id or event.event_id in known

        tail, whole = await read_tail(client, settings.partitions.served, checkpoints, wanted)
        if not whole:
            found.notes.append("the projector is far behind; not all of the streams' tail was read")
        facts += tail
        found.stories = _told(rows, facts)
        found.stories = [await _with_steps(client, settings, story) for story in found.stories]
    except StorageUnavailable as error:
        if away:
            raise
        found.notes.append(f"Redis is away, so what is not recorded yet is missing ({error})")
        found.stories = _told(rows, facts)
    finally:
        await client.aclose()
    return found


@asynccontextmanager
async def _record(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(settings, application_name="c2s-cli")
    try:
        with translated("reading the record"):
            yield connection
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        raise Unmigrated("the database has not been migrated: run `c2s migrate`") from None
    finally:
        await connection.close(timeout=5)


async def _recorded(
    connection: asyncpg.Connection, event_id: str | None, lead_id: str
) -> tuple[dict[str, Row], list[Fact], dict[Place, str]]:
    # The checkpoints first: what is recorded after them is then seen twice, never missed.
    checkpoints: dict[Place, str] = {}
    for row in await connection.fetch(query("checkpoints")):
        place = (row["partition"], row["stream"])
        checkpoints[place] = min(row["entry_id"], checkpoints.get(place, row["entry_id"]), key=position)
    uuid = UUID(event_id) if event_id else None
    rows = {
        str(row["event_id"]): dict(row) for row in await connection.fetch(query("event_rows"), uuid, lead_id)
    }
    ids = {UUID(known) for known in rows} | ({uuid} if uuid else set())
    archived = await connection.fetch(query("event_facts"), list(ids))
    facts = [fact for row in archived if (fact := _fact(row)) is not None]
    return rows, facts, checkpoints


async def _spooled(connection: asyncpg.Connection, event_id: str | None, lead_id: str) -> list[str]:
    rows = await connection.fetch(query("spooled"), UUID(event_id) if event_id else None, lead_id)
    return [
        f"event {row['event_id']} ({row['action']}) waits in the spool until Redis is back, "
        f"since {row['spooled_at']:%Y-%m-%d %H:%M:%S} UTC"
        for row in rows
    ]


def _fact(row: asyncpg.Record) -> Fact | None:
    fields = row["fields"]
    flat = {str(k): str(v) for k, v in (orjson.loads(fields) if isinstance(fields, str) else fields).items()}
    columns = {"event_id": row["event_id"], "lead_id": row["lead_id"], "action": row["hook_action"]}
    flat = {name: str(value) for name, value in columns.items() if value is not None} | flat
    if row["type"] != WebhookAccepted.type:
        flat["type"] = row["type"]
    if row["payload"]:
        flat["payload"] = row["payload"]
    try:
        return Fact(row["partition"], row["stream"], row["entry_id"], decode(flat), recorded=True)
    except EventError:
        return None  # archived as it stood, but by a newer version: nothing here can tell it


def _told(rows: Mapping[str, Row], facts: Sequence[Fact]) -> list[Story]:
    unique = {fact.place: fact for fact in reversed(facts)}  # the recorded copy wins: it comes first
    by_event: dict[str, list[Fact]] = {event_id: [] for event_id in rows}
    for fact in sorted(unique.values(), key=lambda f: f.order):
        by_event.setdefault(fact.event.event_id, []).append(fact)
    return [Story(event_id, rows.get(event_id), tuple(told)) for event_id, told in by_event.items()]


async def _with_steps(client: Client, settings: Settings, story: Story) -> Story:
    if not story.facts or (story.row and story.row["status"] in FINAL):
        return story
    names: set[bytes] = set()
    with redis_translated("reading the finished steps"):
        for place in settings.partitions.places(story.facts[0].event.lead_id):
            found: Any = await client.hkeys(Keys(place).steps(story.event_id))
            names |= {*found}
    steps = sorted({name.decode() for name in names} - _BOOKKEEPING)
    return Story(story.event_id, story.row, story.facts, tuple(steps))


def _event_id(name: str) -> str | None:
    try:
        return str(UUID(name))
    except ValueError:
        return None
