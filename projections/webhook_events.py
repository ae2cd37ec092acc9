"""`webhook_events`: one row per event, guarded by (fence, rank): an older fact changes nothing."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg
import orjson
import structlog

from projections import copying
from projections.batch import Fact, columns, is_hopeful, json_object, made
from projections.copying import MANY, Copy, Pieces
from projections.model import Table
from projections.rows import REPLAY, Row, fold

log = structlog.get_logger()

TABLES = (
    Table(
        "webhook_events",
        key=("id",),
        older="t.received_at < $1::timestamptz",
        personal=frozenset({"raw_payload", "message"}),
    ),
)

COPY = Copy(
    "webhook_events",
    {
        "id": copying.uuid,
        "lead_id": copying.text,
        "hook_action": copying.few(copying.text),
        "received_at": copying.timestamptz,
        "status": copying.few(copying.text),
        "fence": copying.bigint,
        "rank": copying.few(copying.smallint),
        "processed_at": copying.timestamptz,
        "error_message": copying.few(copying.text),
        "retry_count": copying.few(copying.integer),
        "attempt": copying.few(copying.integer),
        "result": copying.few(copying.text),
        "message_ref": copying.text,
        "step": copying.few(copying.text),
        "error_code": copying.few(copying.text),
        "error_api": copying.few(copying.text),
        "retry_at": copying.few(copying.timestamptz),
        "timings": copying.few(copying.jsonb),
        "calls": copying.few(copying.jsonb),
        "message": copying.text,
        "instance": copying.few(copying.text),
        "raw_payload": copying.jsonb,
        "source": copying.few(copying.text),
        "version": copying.text,
        "partition": copying.few(copying.smallint),
        "entry_id": copying.text,
    },
)

# Of a batch that does not hold the webhook itself, or a replayed copy of it: the row is there most likely.
_KNOWN_SOURCES = (None, REPLAY)
# What jsonb answers to JSON that it cannot hold: lone surrogates, numbers beyond numeric, too much.
REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
# An escaped NUL, unless its backslash is itself escaped.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

# A fact that is no webhook adds nothing here, so it writes nothing: its state comes with `_ADVANCE`.
_UPSERT = """
INSERT INTO webhook_events AS w
    (id, lead_id, hook_action, received_at, status, fence, rank, processed_at, error_message, retry_count,
     attempt, result, message_ref, step, error_code, error_api, retry_at, timings, calls, message, instance,
     raw_payload, source, version, partition, entry_id)
SELECT id, lead_id, hook_action, received_at, status, fence, rank, processed_at,
    error_message, retry_count, attempt, result, message_ref, step, error_code, error_api, retry_at, timings,
    calls, message, instance, raw_payload, source, version, partition, entry_id
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[], $7::smallint[],
    $8::timestamptz[], $9::text[], $10::int[], $11::int[], $12::text[], $13::text[], $14::text[], $15::text[],
    $16::text[], $17::timestamptz[], $18::jsonb[], $19::jsonb[], $20::text[], $21::text[],
    $22::jsonb[], $23::text[], $24::text[], $25::smallint[], $26::text[])
  AS x(id, lead_id, hook_action, received_at, status, fence, rank, processed_at, error_message, retry_count,
    attempt, result, message_ref, step, error_code, error_api, retry_at, timings, calls, message, instance,
    raw_payload, source, version, partition, entry_id)
ON CONFLICT (id) DO UPDATE SET
    received_at = least(w.received_at, excluded.received_at),
    raw_payload = coalesce(w.raw_payload, excluded.raw_payload),
    version = coalesce(w.version, excluded.version),
    source = CASE WHEN w.source = 'replay' THEN coalesce(excluded.source, w.source)
                  ELSE coalesce(w.source, excluded.source) END,
    entry_id = CASE WHEN w.source = 'replay' AND excluded.source <> 'replay'
                    THEN coalesce(excluded.entry_id, w.entry_id)
                    ELSE coalesce(w.entry_id, excluded.entry_id) END,
    partition = coalesce(w.partition, excluded.partition)
WHERE excluded.source IS NOT NULL OR excluded.received_at < w.received_at OR w.partition IS NULL
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
    result = x.result, message_ref = coalesce(x.message_ref, w.message_ref),
    timings = coalesce(x.timings, w.timings), calls = coalesce(x.calls, w.calls),
    message = coalesce(x.message, w.message), instance = coalesce(x.instance, w.instance)
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::smallint[], $5::timestamptz[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::int[], $11::int[], $12::timestamptz[], $13::text[], $14::text[],
    $15::jsonb[], $16::jsonb[], $17::text[], $18::text[], $19::boolean[], $20::boolean[])
  AS x(id, status, fence, rank, processed_at, error_message, step, error_code, error_api, retry_count,
    attempt, retry_at, result, message_ref, timings, calls, message, instance, keep_error, reopened)
WHERE w.id = x.id AND (x.fence, x.rank) > (w.fence, w.rank)
    AND (x.status <> 'processing' OR x.reopened OR w.status NOT IN ('success', 'failed'))
"""


class _Parted(NamedTuple):
    """Rows that are most likely new, the same as COPY sends them, and all the others."""

    fresh: list[Row]
    copies: Pieces
    others: list[Row]


async def apply(conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Bring the rows of a batch up to date."""
    await _write(conn, made(facts, _of_batch), hopeful=is_hopeful(facts))


async def write(conn: asyncpg.Connection, rows: Sequence[Row]) -> None:
    """Bring rows up to date."""
    await _write(conn, _parted(rows), hopeful=False)


def _of_batch(facts: Sequence[Fact]) -> _Parted:
    parted = _parted(fold(facts))
    return parted._replace(copies=tuple(parted.copies))


def _parted(rows: Sequence[Row]) -> _Parted:
    fresh = [row for row in rows if row.source not in _KNOWN_SOURCES]
    copies = COPY.pieces(map(row_of, fresh)) if len(fresh) >= MANY else ()
    return _Parted(fresh, copies, [row for row in rows if row.source in _KNOWN_SOURCES])


async def _write(conn: asyncpg.Connection, rows: _Parted, *, hopeful: bool) -> None:
    """Copy in what is most likely new, bring the others up to date: the end is as if all were the latter."""
    left = rows.others
    if not await _added(conn, rows.copies, hopeful=hopeful):
        left = [*rows.fresh, *left]
    if left:
        await _updated(conn, left)


async def _added(conn: asyncpg.Connection, copies: Pieces, *, hopeful: bool) -> bool:
    try:
        return await COPY.sent(conn, copies, hopeful=hopeful)
    except REFUSED:
        if hopeful:
            raise
        return False


async def _updated(conn: asyncpg.Connection, rows: Sequence[Row]) -> None:
    payloads = [_jsonb(row) for row in rows]
    if any(payloads):
        await _upsert_with(conn, rows, payloads)
    else:
        await _upsert(conn, rows, payloads)
    moving = [row for row in rows if row.rank > 0]
    if moving:
        await conn.execute(_ADVANCE, *columns([_state(row) for row in moving]))


async def _upsert_with(conn: asyncpg.Connection, rows: Sequence[Row], payloads: Sequence[str | None]) -> None:
    """Upsert with payloads, of which jsonb may refuse some."""
    try:
        async with conn.transaction():
            await _upsert(conn, rows, payloads)
    except REFUSED:
        accepted = [await _if_taken(conn, *pair) for pair in zip(rows, payloads, strict=True)]
        await _upsert(conn, rows, accepted)


async def _upsert(conn: asyncpg.Connection, rows: Sequence[Row], payloads: Sequence[str | None]) -> None:
    pairs = zip(rows, payloads, strict=True)
    await conn.execute(_UPSERT, *columns([_row(row, payload) for row, payload in pairs]))


async def _if_taken(conn: asyncpg.Connection, row: Row, payload: str | None) -> str | None:
    """The payload, or None where jsonb refuses it; the archive has the bytes."""
    try:
        async with conn.transaction():
            await conn.execute("SELECT $1::jsonb", payload)
    except REFUSED as error:
        log.warning("payload.refused", event_id=row.event_id, kind=type(error).__name__)
        return None
    return payload


def row_of(row: Row) -> tuple[object, ...]:
    """The row as a table takes it that does not have it yet."""
    return _row(row, _jsonb(row))


def _row(row: Row, payload: str | None) -> tuple[object, ...]:
    return (
        row.event_id,
        row.lead_id,
        row.action,
        row.received_at,
        row.status,
        max(0, row.fence),
        max(0, row.rank),
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
        json_object(row.timings),
        json_object(row.calls),
        row.message,
        row.instance,
        payload,
        row.source,
        row.version,
        row.partition,
        row.entry_id,
    )


def _state(row: Row) -> tuple[object, ...]:
    return (
        row.event_id,
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
        json_object(row.timings),
        json_object(row.calls),
        row.message,
        row.instance,
        row.keep_error,
        row.reopened,
    )


def _jsonb(row: Row) -> str | None:
    """The payload as Postgres takes it: without NUL characters; text that is not JSON as a JSON string."""
    text = row.raw_payload
    if not text:
        return None
    if text[0] not in "{[" and not text.lstrip().startswith(("{", "[")):
        return orjson.dumps(text).decode()
    clean = _NUL.sub(r"\g<1>\\ufffd", text) if "u0000" in text else text
    if clean != text:
        log.info("payload.sanitised", event_id=row.event_id)
    return clean
