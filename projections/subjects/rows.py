"""Erasing in Postgres: one transaction that writes tombstones and redacts, while no batch is under way."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from ops.persons import PERSON
from projections.archive import restored
from projections.people import PeopleProjection
from projections.redaction import LOCK
from schema.codec import PayloadCodec

_REBUILD = 0x633273_03  # a rebuild that runs has read the archive as it was
_SPOOL = 0x63327370

_BURY = """
INSERT INTO erased_events (event_id, lead_id, erasure_id)
SELECT e, l, $3 FROM unnest($1::uuid[], $2::text[]) AS x(e, l)
ON CONFLICT DO NOTHING
"""
# What each place holds of erased events ($1) and of whole leads ($2), and what is left of it: exactly
# what the read models make of the redacted archive, so that a rebuild finds no difference.
_REDACT: Mapping[str, str] = {
    "archive": """UPDATE event_log SET payload = NULL,
        fields = fields - '{message,enrichment,contact,error}'::text[]
        WHERE event_id = ANY($1) AND (payload IS NOT NULL OR fields ?| '{message,enrichment,contact,error}')
        AND $2::text[] IS NOT NULL""",
    "undecodable": """UPDATE event_log SET fields = '{}', payload = NULL
        WHERE event_id IS NULL AND (fields->>'lead_id' = ANY($2)
        OR fields->>'event_id' = ANY($1::uuid[]::text[]))""",
    "webhook_events": """UPDATE webhook_events SET raw_payload = NULL, message = NULL, error_message = NULL
        WHERE id = ANY($1) AND $2::text[] IS NOT NULL
        AND (raw_payload IS NOT NULL OR message IS NOT NULL OR error_message IS NOT NULL)""",
    "attempts": """UPDATE attempts SET error_message = NULL
        WHERE event_id = ANY($1) AND error_message IS NOT NULL AND $2::text[] IS NOT NULL""",
    "dead_letters": """UPDATE dead_letters SET error_message = NULL
        WHERE event_id = ANY($1) AND error_message IS NOT NULL AND $2::text[] IS NOT NULL""",
    "webhook_duplicates": """UPDATE webhook_duplicates SET payload = ''
        WHERE event_id = ANY($1) AND payload <> '' AND $2::text[] IS NOT NULL""",
    "lead_state": """UPDATE lead_state SET contact = NULL
        WHERE event_id = ANY($1) AND contact IS NOT NULL AND $2::text[] IS NOT NULL""",
    "ingress_spool": "DELETE FROM ingress_spool WHERE event_id = ANY($1) OR lead_id = ANY($2)",
    "forwards": """UPDATE forwards SET state = 'delivered', body = NULL, headers = '{}', last_error = 'erased'
        WHERE (id = ANY($1) OR lead_id = ANY($2)) AND body IS NOT NULL""",
    "lead_people": "DELETE FROM lead_people WHERE lead_id = ANY($2) AND event_id = ANY($1)",
}
_TOUCHED = "SELECT DISTINCT person_id FROM lead_people WHERE event_id = ANY($1) AND lead_id = ANY($2)"
_GONE = """
WITH gone AS (
    DELETE FROM people p WHERE p.id = ANY($1::bigint[])
    AND NOT EXISTS (SELECT FROM lead_people l WHERE l.person_id = p.id) RETURNING p.cpf
), keys AS (DELETE FROM data_keys WHERE name IN (SELECT $2 || cpf FROM gone))
SELECT count(*) FROM gone
"""
# Persons that others led to, too: what is known of them is found anew, from those leads alone.
_OTHERS = """
SELECT p.id, l.lead_id FROM people p JOIN lead_people l ON l.person_id = p.id WHERE p.id = ANY($1::bigint[])
AND p.found_at >= coalesce((SELECT max(before) FROM event_log_dropped), '-infinity'::timestamptz)
"""
_FACTS = """
SELECT l.partition, l.stream, l.entry_id, l.type, l.event_id, l.lead_id, l.hook_action, l.fields, l.payload
FROM event_log l JOIN webhook_events w ON w.id = l.event_id
WHERE w.lead_id = ANY($1) AND l.type = 'lead_processed'
ORDER BY l.recorded_at, length(l.entry_id), l.entry_id
"""
_LEADS = """
DELETE FROM subject_leads s WHERE s.lead_id = ANY($1::text[]) AND NOT EXISTS (
    SELECT FROM webhook_events w WHERE w.lead_id = s.lead_id
    AND NOT EXISTS (SELECT FROM erased_events e WHERE e.event_id = w.id))
"""
_SUBJECTS = "DELETE FROM subjects s WHERE NOT EXISTS (SELECT FROM subject_leads l WHERE l.subject_id = s.id)"


async def bury(conn: asyncpg.Connection, erasure_id: UUID, events: Mapping[str, str]) -> None:
    """Write tombstones: lead id by event id."""
    ids = [UUID(event_id) for event_id in events]
    await conn.execute(_BURY, ids, list(events.values()), erasure_id)


async def redact(
    conn: asyncpg.Connection,
    codec: PayloadCodec,
    erasure_id: UUID,
    events: Mapping[str, str],
    leads: Collection[str],
    *,
    whole: bool,
) -> dict[str, int]:
    """Write tombstones and take what is personal out of every table; how many rows, by table.

    Waits for a rebuild and for the batch that is being projected. Args: as `StreamEraser.sweep`.
    """
    ids, named = [UUID(event_id) for event_id in events], list(leads) if whole else []
    counts: dict[str, int] = {}
    async with conn.transaction():
        for lock in (_REBUILD, _SPOOL, LOCK):
            await conn.execute("SELECT pg_advisory_xact_lock($1)", lock)
        await bury(conn, erasure_id, events)
        touched = [r["person_id"] for r in await conn.fetch(_TOUCHED, ids, list(leads))]
        for place, statement in _REDACT.items():
            whose = list(leads) if place == "lead_people" else named
            counts[place] = _number(await conn.execute(statement, ids, whose))
        counts["people"] = await conn.fetchval(_GONE, touched, PERSON)
        await _found_anew(conn, codec, touched)
        counts["subject_leads"] = _number(await conn.execute(_LEADS, list(leads)))
        counts["subjects"] = _number(await conn.execute(_SUBJECTS))
    return counts


async def _found_anew(conn: asyncpg.Connection, codec: PayloadCodec, persons: Sequence[int]) -> None:
    rows = await conn.fetch(_OTHERS, persons)
    if not rows:
        return
    await conn.execute("DELETE FROM people WHERE id = ANY($1::bigint[])", [row["id"] for row in rows])
    facts = [restored(dict(r)) for r in await conn.fetch(_FACTS, list({row["lead_id"] for row in rows}))]
    await PeopleProjection(codec).apply(conn, facts)


def _number(status: Any) -> int:
    return int(str(status).rpartition(" ")[2])
