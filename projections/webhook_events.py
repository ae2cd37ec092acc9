"""`webhook_events`: one row per event, guarded by (fence, rank): an older fact changes nothing."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import orjson
import structlog

from projections.batch import Fact, columns
from projections.rows import Row, fold

log = structlog.get_logger()

_UPSERT = """
INSERT INTO webhook_events AS w
    (id, lead_id, hook_action, received_at, status, fence, rank, processed_at, error_message, retry_count,
     attempt, result, message_ref, step, error_code, error_api, retry_at, timings, calls, message, instance,
     duplicate_count, raw_payload, source, version, partition, entry_id)
SELECT id, lead_id, hook_action, received_at, status, greatest(fence, 0), greatest(rank, 0), processed_at,
    error_message, retry_count, attempt, result, message_ref, step, error_code, error_api, retry_at, timings,
    calls, message, instance, duplicates, raw_payload, source, version, partition, entry_id
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[], $7::smallint[],
    $8::timestamptz[], $9::text[], $10::int[], $11::int[], $12::text[], $13::text[], $14::text[], $15::text[],
    $16::text[], $17::timestamptz[], $18::jsonb[], $19::jsonb[], $20::text[], $21::text[], $22::int[],
    $23::jsonb[], $24::text[], $25::text[], $26::smallint[], $27::text[])
  AS x(id, lead_id, hook_action, received_at, status, fence, rank, processed_at, error_message, retry_count,
    attempt, result, message_ref, step, error_code, error_api, retry_at, timings, calls, message, instance,
    duplicates, raw_payload, source, version, partition, entry_id)
ON CONFLICT (id) DO UPDATE SET
    received_at = least(w.received_at, excluded.received_at),
    duplicate_count = w.duplicate_count + excluded.duplicate_count,
    raw_payload = coalesce(w.raw_payload, excluded.raw_payload),
    source = coalesce(w.source, excluded.source),
    version = coalesce(w.version, excluded.version),
    partition = coalesce(w.partition, excluded.partition),
    entry_id = coalesce(w.entry_id, excluded.entry_id)
"""

# The state half, in a statement of its own: it applies only where the batch holds a newer fact.
_ADVANCE = """
UPDATE webhook_events AS w SET
    status = x.status, fence = x.fence, rank = x.rank, processed_at = x.processed_at,
    error_message = CASE WHEN x.keep_error THEN w.error_message ELSE x.error_message END,
    step = CASE WHEN x.keep_error THEN w.step ELSE x.step END,
    error_code = CASE WHEN x.keep_error THEN w.error_code ELSE x.error_code END,
    error_api = CASE WHEN x.keep_error THEN w.error_api ELSE x.error_api END,
    retry_count = x.retry_count, attempt = x.attempt, retry_at = x.retry_at,
    result = coalesce(x.result, w.result), message_ref = coalesce(x.message_ref, w.message_ref),
    timings = coalesce(x.timings, w.timings), calls = coalesce(x.calls, w.calls),
    message = coalesce(x.message, w.message), instance = coalesce(x.instance, w.instance)
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::smallint[], $5::timestamptz[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::int[], $11::int[], $12::timestamptz[], $13::text[], $14::text[],
    $15::jsonb[], $16::jsonb[], $17::text[], $18::text[], $19::boolean[])
  AS x(id, status, fence, rank, processed_at, error_message, step, error_code, error_api, retry_count,
    attempt, retry_at, result, message_ref, timings, calls, message, instance, keep_error)
WHERE w.id = x.id AND (x.fence, x.rank) > (w.fence, w.rank)
"""


async def apply(conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Bring the rows of a batch up to date."""
    rows = fold(facts)
    if not rows:
        return
    try:
        async with conn.transaction():
            await conn.execute(_UPSERT, *columns([_row(row) for row in rows]))
    except asyncpg.DataError:
        # jsonb refuses what JSON allows in places nobody thought of; the archive has the bytes.
        log.warning("payload.refused", rows=len(rows))
        await conn.execute(_UPSERT, *columns([_row(row, payload=False) for row in rows]))
    moving = [row for row in rows if row.rank > 0]
    if moving:
        await conn.execute(_ADVANCE, *columns([_state(row) for row in moving]))


def _row(row: Row, *, payload: bool = True) -> tuple[object, ...]:
    return (
        UUID(row.event_id),
        row.lead_id,
        row.action,
        row.received_at,
        row.status,
        row.fence,
        row.rank,
        row.processed_at,
        row.error_message,
        row.retry_count,
        row.attempt,
        row.result,
        row.message_ref,
        row.step,
        row.error_code,
        row.error_api,
        row.retry_at,
        row.timings,
        row.calls,
        row.message,
        row.instance,
        row.duplicates,
        _jsonb(row) if payload else None,
        row.source,
        row.version,
        row.partition,
        row.entry_id,
    )


def _state(row: Row) -> tuple[object, ...]:
    return (
        UUID(row.event_id),
        row.status,
        row.fence,
        row.rank,
        row.processed_at,
        row.error_message,
        row.step,
        row.error_code,
        row.error_api,
        row.retry_count,
        row.attempt,
        row.retry_at,
        row.result,
        row.message_ref,
        row.timings,
        row.calls,
        row.message,
        row.instance,
        row.keep_error,
    )


def _jsonb(row: Row) -> str | None:
    """The payload as Postgres takes it: without NUL characters; text that is not JSON as a string."""
    text = row.raw_payload
    if not text:
        return None
    if not text.lstrip().startswith(("{", "[")):
        return orjson.dumps(text).decode()
    if "\\u0000" not in text:
        return text
    log.info("payload.sanitised", event_id=row.event_id)
    return orjson.dumps(_without_nul(orjson.loads(text))).decode()


def _without_nul(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\x00", "�")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {k.replace("\x00", "�"): _without_nul(v) for k, v in value.items()}
    return value
