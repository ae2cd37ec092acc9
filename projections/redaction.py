"""Tombstones: what is recorded of an erased event holds no personal data, whoever brings the fact.

The projector asks under a shared lock that an erasure takes for itself while it writes tombstones and
redacts: a batch either is committed before that (and redacted with the rest) or finds the tombstones.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
from msgspec.structs import fields, replace

from projections.batch import Fact, events, made
from schema.erasing import PERSONAL
from schema.events import Event

LOCK = 0x633273_13

# One text, for each element of an array costs us as much as the look-up costs Postgres.
_ERASED = """
SELECT event_id FROM public.erased_events WHERE event_id = ANY(string_to_array($1, ',')::uuid[])
"""


async def redacted(conn: asyncpg.Connection, facts: Sequence[Fact]) -> Sequence[Fact]:
    """The facts, those of erased events without what is personal; within the caller's transaction."""
    await conn.execute("SELECT pg_advisory_xact_lock_shared($1)", LOCK)
    erased = {str(row["event_id"]) for row in await conn.fetch(_ERASED, made(facts, _ids))}
    if not erased:
        return facts
    return [_bare(f) if f.event is not None and f.event.event_id in erased else f for f in facts]


def _ids(facts: Sequence[Fact]) -> str:
    return ",".join({event.event_id for _, event in events(facts)})


def _bare(fact: Fact) -> Fact:
    assert fact.event is not None  # noqa: S101 -- asked before
    kept = {name: text for name, text in fact.fields.items() if name not in PERSONAL}
    return replace(fact, fields=kept, event=_without(fact.event))


def _without(event: Event) -> Event:
    names = {field.name for field in fields(event)}
    nothing: dict[str, Any] = {name: "" for name in PERSONAL if name in names}
    return replace(event, **nothing)
