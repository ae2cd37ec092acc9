"""`attempts`, `webhook_duplicates` and `lead_state`: the smaller tables that follow from the outcomes."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from projections.batch import Fact, columns, events
from schema.events import (
    AttemptFailed,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    ProcessingStarted,
    WebhookDuplicated,
)
from schema.status import STATUS_AFTER

_STARTED = """
INSERT INTO attempts (event_id, fence, attempt, started_at, instance)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::timestamptz[], $5::text[])
ON CONFLICT (event_id, fence) DO UPDATE SET started_at = excluded.started_at
"""

_ENDED = """
INSERT INTO attempts AS a (event_id, fence, attempt, ended_at, instance, ending, step, error_code, error_api,
    error_message)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::timestamptz[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::text[])
ON CONFLICT (event_id, fence) DO UPDATE SET ended_at = excluded.ended_at, ending = excluded.ending,
    step = excluded.step, error_code = excluded.error_code, error_api = excluded.error_api,
    error_message = excluded.error_message
"""

_DUPLICATES = """
INSERT INTO webhook_duplicates
    (partition, entry_id, event_id, lead_id, hook_action, received_at, source, payload)
SELECT * FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[],
    $7::text[], $8::text[])
ON CONFLICT DO NOTHING
"""

_STATE = """
INSERT INTO lead_state AS s (lead_id, event_id, hook_action, status, result, message_ref, fence, updated_at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
    $8::timestamptz[])
ON CONFLICT (lead_id) DO UPDATE SET event_id = excluded.event_id, hook_action = excluded.hook_action,
    status = excluded.status, result = excluded.result,
    message_ref = coalesce(excluded.message_ref, s.message_ref), fence = excluded.fence,
    updated_at = excluded.updated_at
WHERE excluded.fence > s.fence
"""


async def apply(conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Bring the three tables up to date with a batch."""
    started = {_key(e): _started(f, e) for f, e in events(facts) if isinstance(e, ProcessingStarted)}
    ends = [
        (f, e) for f, e in events(facts) if isinstance(e, AttemptFailed | LeadProcessed | LeadDeadLettered)
    ]
    duplicates = [_duplicate(f, e) for f, e in events(facts) if isinstance(e, WebhookDuplicated)]
    finals = {e.lead_id: _final(f, e) for f, e in ends if not isinstance(e, AttemptFailed)}
    for statement, rows in (
        (_STARTED, list(started.values())),
        (_ENDED, list({_key(e): _ended(f, e) for f, e in ends}.values())),
        (_DUPLICATES, duplicates),
        (_STATE, list(finals.values())),
    ):
        if rows:
            await conn.execute(statement, *columns(rows))


def _key(event: Outcome) -> tuple[str, int]:
    return event.event_id, event.fence


def _started(fact: Fact, event: ProcessingStarted) -> tuple[object, ...]:
    return UUID(event.event_id), event.fence, event.attempt, fact.at, event.instance


def _ended(fact: Fact, event: Outcome) -> tuple[object, ...]:
    head = (UUID(event.event_id), event.fence, event.attempt, fact.at, event.instance, event.type)
    if isinstance(event, AttemptFailed | LeadDeadLettered):
        return (*head, event.step, event.code, event.api or None, event.error)
    return (*head, None, None, None, None)


def _duplicate(fact: Fact, event: WebhookDuplicated) -> tuple[object, ...]:
    where = (fact.partition, fact.entry_id, UUID(event.event_id), event.lead_id, event.action)
    return (*where, event.received_at, event.source, event.payload)


def _final(fact: Fact, event: Outcome) -> tuple[object, ...]:
    good = isinstance(event, LeadProcessed)
    result = event.result if isinstance(event, LeadProcessed) else None
    ref = (event.message_ref or None) if isinstance(event, LeadProcessed) else None
    status = STATUS_AFTER[LeadProcessed.type if good else LeadDeadLettered.type]
    return event.lead_id, UUID(event.event_id), event.action, status, result, ref, event.fence, fact.at
