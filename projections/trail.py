"""The smaller tables that follow from the outcomes.

`attempts`, `webhook_duplicates`, `lead_state` and `dead_letters`. Meeting a fact again changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg
from msgspec import Struct

from projections import copying
from projections.batch import Fact, columns, events, is_hopeful, json_object, made
from projections.copying import MANY, Copy, Pieces, whole
from projections.model import Table
from schema.erasing import ERASED
from schema.events import (
    AttemptFailed,
    EventIgnored,
    EventReplayed,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    ProcessingStarted,
    WebhookAccepted,
    WebhookDuplicated,
)
from schema.status import STATUS_AFTER

_OF_AN_OLD_EVENT = "t.event_id IN (SELECT id FROM webhook_events)"
TABLES = (
    Table(
        "attempts",
        key=("event_id", "fence"),
        older=f"{_OF_AN_OLD_EVENT} OR coalesce(t.started_at, t.ended_at) < $1::timestamptz",
    ),
    Table(
        "webhook_duplicates",
        key=("partition", "entry_id"),
        # All of an old event's, so that its count stands: a row that is there already counts no more.
        older=f"{_OF_AN_OLD_EVENT} OR t.received_at < $1::timestamptz",
        personal=frozenset({"payload"}),
    ),
    Table("lead_state", key=("lead_id",), older="t.updated_at < $1::timestamptz"),
    Table(
        "dead_letters",
        key=("event_id",),
        older=f"{_OF_AN_OLD_EVENT} OR t.dead_at < $1::timestamptz",
    ),
)

_Row = tuple[object, ...]
_FINALS = (LeadProcessed, LeadDeadLettered)
_FAILURES = (AttemptFailed, LeadDeadLettered)
_LIFE_OR_DEATH = (LeadDeadLettered, EventReplayed, LeadProcessed)

_ATTEMPT = Copy(
    "attempts",
    {
        "event_id": copying.uuid,
        "fence": copying.bigint,
        "attempt": copying.few(copying.integer),
        "instance": copying.few(copying.text),
        "started_at": copying.timestamptz,
        "ended_at": copying.timestamptz,
        "ending": copying.few(copying.text),
        "step": copying.few(copying.text),
        "error_code": copying.few(copying.text),
        "error_api": copying.few(copying.text),
        "error_message": copying.few(copying.text),
        "counted": copying.few(copying.boolean),
        "calls": copying.few(copying.jsonb),
    },
)
_ENDS_AT = _ATTEMPT.columns.index("ended_at")  # what its begin tells stands before
_NO_END = (None,) * (len(_ATTEMPT.columns) - _ENDS_AT)
# What a batch does not tell of an attempt (its begin or its end) stays as it is.
_ATTEMPTS = """
INSERT INTO attempts AS a (event_id, fence, attempt, instance, started_at, ended_at, ending, step, error_code,
    error_api, error_message, counted, calls)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[],
    $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[], $13::jsonb[])
  AS x(event_id, fence, attempt, instance, started_at, ended_at, ending, step, error_code, error_api,
    error_message, counted, calls)
ON CONFLICT (event_id, fence) DO UPDATE SET
    started_at = coalesce(excluded.started_at, a.started_at),
    ended_at = coalesce(excluded.ended_at, a.ended_at), ending = coalesce(excluded.ending, a.ending),
    step = CASE WHEN excluded.ending IS NULL THEN a.step ELSE excluded.step END,
    error_code = CASE WHEN excluded.ending IS NULL THEN a.error_code ELSE excluded.error_code END,
    error_api = CASE WHEN excluded.ending IS NULL THEN a.error_api ELSE excluded.error_api END,
    error_message = CASE WHEN excluded.ending IS NULL THEN a.error_message ELSE excluded.error_message END,
    counted = coalesce(excluded.counted, a.counted), calls = coalesce(excluded.calls, a.calls)
"""

# Counted on the event's row (which `webhook_events` has made by now) only where the repeat is new here.
_DUPLICATES = """
WITH fresh AS (
    INSERT INTO webhook_duplicates
        (partition, entry_id, event_id, lead_id, hook_action, received_at, source, payload)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[],
        $7::text[], $8::text[])
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
UPDATE webhook_events AS w SET duplicate_count = w.duplicate_count + x.number
FROM (SELECT event_id, count(*) AS number FROM fresh GROUP BY event_id) AS x
WHERE w.id = x.event_id
"""

_LEAD = Copy(
    "lead_state",
    {
        "lead_id": copying.text,
        "event_id": copying.uuid,
        "hook_action": copying.few(copying.text),
        "status": copying.few(copying.text),
        "result": copying.few(copying.text),
        "message_ref": copying.text,
        "contact": copying.text,
        "fence": copying.bigint,
        "updated_at": copying.timestamptz,
    },
)
# One text, for each element of an array costs us as much as the look-up costs Postgres. An id that holds the
# mark between them is not found, so its row is not new to COPY and all of them are upserted.
_LEADS_KNOWN = r"SELECT lead_id FROM lead_state WHERE lead_id = ANY(string_to_array($1, E'\x1f'))"
_STATE = """
INSERT INTO lead_state AS s
    (lead_id, event_id, hook_action, status, result, message_ref, contact, fence, updated_at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bigint[], $9::timestamptz[])
ON CONFLICT (lead_id) DO UPDATE SET event_id = excluded.event_id, hook_action = excluded.hook_action,
    status = excluded.status, result = excluded.result,
    message_ref = coalesce(excluded.message_ref, s.message_ref),
    contact = coalesce(excluded.contact, s.contact), fence = excluded.fence, updated_at = excluded.updated_at
WHERE excluded.fence > s.fence
"""

# The event's row, written before, has the newest fact: an older one met again neither buries nor revives it.
_DEAD = """
INSERT INTO dead_letters
    (event_id, lead_id, hook_action, dead_at, step, error_code, error_message, attempts)
SELECT x.event_id, x.lead_id, x.hook_action, x.dead_at, x.step, x.error_code, x.error_message, x.attempts
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
    $8::int[], $9::bigint[])
  AS x(event_id, lead_id, hook_action, dead_at, step, error_code, error_message, attempts, fence)
JOIN webhook_events w ON w.id = x.event_id AND w.status = 'failed' AND w.fence = x.fence
ON CONFLICT (event_id) DO UPDATE SET dead_at = excluded.dead_at, step = excluded.step,
    error_code = excluded.error_code, error_message = excluded.error_message, attempts = excluded.attempts
"""
_ALIVE = """
DELETE FROM dead_letters d USING webhook_events w
WHERE d.event_id = ANY(string_to_array($1, ',')::uuid[]) AND w.id = d.event_id AND w.status <> 'failed'
"""


class _Told(NamedTuple):
    """Rows that a batch tells of.

    Attributes:
        begun: attempts that began in the batch: most likely nothing is known of them yet.
        copies: the same as COPY sends them; so are `lead_copies`, each by itself.
        ended: those that only ended in it.
        alive: events that are no dead letter, or no longer.
    """

    begun: list[_Row]
    copies: Pieces
    ended: list[_Row]
    duplicates: list[_Row]
    leads: list[_Row]
    lead_copies: list[bytes]
    dead: list[_Row]
    alive: list[str]


class _End(Struct, frozen=True, gc=False):
    """How a lead's last event ended, and the message and contact known of it by then."""

    fact: Fact
    event: LeadProcessed | LeadDeadLettered
    message_ref: str
    contact: str


async def apply(conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Bring the tables up to date with a batch; after `webhook_events`, whose rows it counts on."""
    told = made(facts, _told)
    ended = told.ended
    if not await _ATTEMPT.sent(conn, told.copies, hopeful=is_hopeful(facts)):
        ended = [*told.begun, *ended]
    if ended:
        await conn.execute(_ATTEMPTS, *columns(ended))
    if told.duplicates:
        await conn.execute(_DUPLICATES, *columns(told.duplicates))
    await _write_leads(conn, told.leads, told.lead_copies, hopeful=is_hopeful(facts))
    if told.dead:
        await conn.execute(_DEAD, *columns(told.dead))
    if told.alive:
        await conn.execute(_ALIVE, ",".join(told.alive))


async def _write_leads(
    conn: asyncpg.Connection, rows: list[_Row], copies: list[bytes], *, hopeful: bool
) -> None:
    """One row per lead that reached an end in the batch."""
    if len(rows) >= MANY:
        asked = "\x1f".join([str(row[0]) for row in rows])
        known = {row["lead_id"] for row in await conn.fetch(_LEADS_KNOWN, asked)}
        fresh = [copy for row, copy in zip(rows, copies, strict=True) if row[0] not in known]
        if await _LEAD.sent(conn, whole(fresh), hopeful=hopeful):
            rows = [row for row in rows if row[0] in known]
    if rows:
        await conn.execute(_STATE, *columns(rows))


def _told(facts: Sequence[Fact]) -> _Told:
    begun: dict[tuple[str, int], _Row] = {}
    ended: dict[tuple[str, int], _Row] = {}
    last: dict[str, tuple[Fact, Outcome]] = {}  # an event's last word in the batch on its being dead
    duplicates: list[_Row] = []
    ends: dict[str, _End] = {}
    for fact, event in events(facts):
        if type(event) is WebhookAccepted:
            continue
        if type(event) is ProcessingStarted:
            begun[event.event_id, event.fence] = _started(fact, event)
            continue
        if type(event) is WebhookDuplicated:
            duplicates.append(_duplicate(fact, event))
            continue
        erased = type(event) is EventIgnored and event.reason == ERASED
        if event.fence and not erased and type(event) is not EventReplayed:
            ended[event.event_id, event.fence] = _ended(fact, event)
        if erased or type(event) in _LIFE_OR_DEATH:
            last[event.event_id] = fact, event
        if isinstance(event, _FINALS):
            _end(ends, fact, event)
    attempts = [(*row[:_ENDS_AT], *ended.pop(key, row)[_ENDS_AT:]) for key, row in begun.items()]
    leads = [_final(end) for end in ends.values()]
    return _Told(
        begun=attempts,
        copies=_ATTEMPT.encoded(attempts),
        ended=list(ended.values()),
        duplicates=duplicates,
        leads=leads,
        lead_copies=_LEAD.each(leads),
        dead=[_letter(f, e) for f, e in last.values() if type(e) is LeadDeadLettered],
        alive=[e.event_id for _, e in last.values() if type(e) is not LeadDeadLettered],
    )


def _end(ends: dict[str, _End], fact: Fact, event: LeadProcessed | LeadDeadLettered) -> None:
    """Note a lead's last end; the message and the contact stay where a later end tells of none."""
    known = ends.get(event.lead_id)
    if known is not None and event.fence <= known.event.fence:
        return
    ref, contact = (known.message_ref, known.contact) if known else ("", "")
    if type(event) is LeadProcessed:
        ref, contact = event.message_ref or ref, event.contact or contact
    ends[event.lead_id] = _End(fact, event, ref, contact)


def _started(fact: Fact, event: ProcessingStarted) -> _Row:
    return (event.event_id, event.fence, event.attempt, event.instance, fact.at, *_NO_END)


def _ended(fact: Fact, event: Outcome) -> _Row:
    head = (event.event_id, event.fence, event.attempt, event.instance, None, fact.at, event.type)
    counted = type(event) is not AttemptFailed or event.counted == 1
    if type(event) is not LeadProcessed and isinstance(event, _FAILURES):
        error = (event.step or None, event.code or None, event.api or None, event.error or None)
        return (*head, *error, counted, json_object(event.calls))
    return (*head, None, None, None, None, counted, None)


def _letter(fact: Fact, event: LeadDeadLettered) -> _Row:
    head = (event.event_id, event.lead_id, event.action, fact.at)
    return (*head, event.step or None, event.code or None, event.error or None, event.attempt, event.fence)


def _duplicate(fact: Fact, event: WebhookDuplicated) -> _Row:
    where = (fact.partition, fact.entry_id, event.event_id, event.lead_id, event.action)
    return (*where, event.received_at, event.source, event.payload)


def _final(end: _End) -> _Row:
    event = end.event
    result = event.result if type(event) is LeadProcessed else ""
    status = STATUS_AFTER[event.type]
    head = (event.lead_id, event.event_id, event.action, status, result or None)
    return (*head, end.message_ref or None, end.contact or None, event.fence, end.fact.at)
