"""Replays that could not be noted in `operator_actions` when they were done: noted from their events.

No read model: other acts are noted there before they are done, so a rebuild leaves the table alone.
"""

from collections.abc import Sequence

import asyncpg

from projections.batch import Fact, columns, events, made
from schema.events import EventReplayed

_NOTE = """
INSERT INTO operator_actions (at, actor, via, action, target, reason, affected, entry)
SELECT at, actor, 'cli', 'dead_replayed', target, reason, 1, entry
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS x(at, actor, target, reason, entry)
ON CONFLICT (entry) DO NOTHING
"""


async def apply(conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Note the batch's; one met again is noted already."""
    if rows := made(facts, _noted):
        await conn.execute(_NOTE, *columns(rows))


def _noted(facts: Sequence[Fact]) -> list[tuple[object, ...]]:
    return [
        (fact.at, event.actor, f"event {event.event_id}", event.reason, f"{fact.partition}:{fact.entry_id}")
        for fact, event in events(facts)
        if type(event) is EventReplayed and event.actor
    ]
