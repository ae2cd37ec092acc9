"""`event_log`: every entry of both streams, as it stood."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson

from projections import copying
from projections.batch import Fact, columns, fact_of, made
from projections.copying import Copy, Pieces

_OWN_COLUMNS = ("event_id", "lead_id", "action", "type")

COPY = Copy(
    "event_log",
    {
        "recorded_at": copying.milliseconds,
        "partition": copying.few(copying.smallint),
        "stream": copying.few(copying.text),
        "entry_id": copying.text,
        "type": copying.few(copying.text),
        "event_id": copying.uuid,
        "lead_id": copying.text,
        "hook_action": copying.few(copying.text),
        "fields": copying.jsonb,
        "payload": copying.text,
    },
)
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_SUCH_YEAR = 2200  # an entry with a forged id goes to the default partition
_MONTHS = "SELECT ensure_event_log_partitions(month, 1) FROM unnest($1::timestamptz[]) AS month"
_INSERT = """
INSERT INTO event_log
    (recorded_at, partition, stream, entry_id, type, event_id, lead_id, hook_action, fields, payload)
SELECT * FROM unnest($1::timestamptz[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::uuid[],
    $7::text[], $8::text[], $9::jsonb[], $10::text[])
ON CONFLICT DO NOTHING
"""


async def apply(conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Archive the batch; months that have no partition yet get one."""
    months, data = made(facts, _archived)
    await conn.execute(_MONTHS, months)
    if not await COPY.sent(conn, data):
        await conn.execute(_INSERT, *columns([row_of(fact) for fact in facts]))


def _archived(facts: Sequence[Fact]) -> tuple[list[datetime], Pieces]:
    """The months that the facts lie in, and their rows as COPY sends them."""
    times = [fact.ms for fact in facts]
    days = [_EPOCH + timedelta(days=number) for number in {ms // _DAY_MS for ms in times}]
    months = {datetime(day.year, day.month, 1, tzinfo=UTC) for day in days if day.year < _NO_SUCH_YEAR}
    return sorted(months), COPY.encoded(list(map(_row, times, facts)))


def row_of(fact: Fact) -> tuple[object, ...]:
    """The row of a fact, in the order of `COPY`'s columns."""
    return _row(fact.recorded_at, fact)


def _row(recorded: object, fact: Fact) -> tuple[object, ...]:
    where = (recorded, fact.partition, fact.stream, fact.entry_id)
    event = fact.event
    if event is None:
        return (*where, "undecodable", None, None, None, _json(fact.fields), None)
    kept = fact.fields.copy()
    payload = kept.pop("payload", None)
    for name in _OWN_COLUMNS:
        kept.pop(name, None)
    return (*where, event.type, event.event_id, event.lead_id, event.action, _json(kept), payload)


def _json(kept: Mapping[str, str]) -> str:
    text = orjson.dumps(kept).decode()
    if "\\u0000" in text:  # or a backslash before u0000: replacing finds nothing then
        text = orjson.dumps({k: v.replace("\x00", "�") for k, v in kept.items()}).decode()
    return text


def restored(row: Mapping[str, Any]) -> Fact:
    """The fact that an archived row was made of.

    An entry that could not be decoded when it came is tried again, since a newer version may know its type;
    not where a character of it was replaced, for that is no longer what was written.
    """
    fields: dict[str, str] = orjson.loads(row["fields"])
    if row["event_id"] is None:
        damaged = any("�" in value for value in fields.values())
        fields = {} if damaged else fields
    else:
        own = {"event_id": str(row["event_id"]), "lead_id": row["lead_id"], "action": row["hook_action"]}
        fields |= own
        if row["stream"] == "outcomes":
            fields["type"] = row["type"]
        if row["payload"] is not None:
            fields["payload"] = row["payload"]
    raw = {name.encode(): value.encode() for name, value in fields.items()}
    return fact_of(row["partition"], row["stream"], row["entry_id"], raw)
