"""`event_log`: every entry of both streams, as it stood."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
from msgspec.json import Encoder

from projections import copying
from projections.batch import Fact, columns, fact_of, is_hopeful, made
from projections.copying import MANY, Copy, Pieces, whole

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
        "fields": copying.json_lines,
        "payload": copying.text,
    },
)
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINES = Encoder()
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
    if not await COPY.sent(conn, data, hopeful=is_hopeful(facts)):
        await conn.execute(_INSERT, *columns([row_of(fact) for fact in facts]))


def _archived(facts: Sequence[Fact]) -> tuple[list[datetime], Pieces]:
    """The months that the facts lie in, and their rows as COPY sends them."""
    times = [fact.ms for fact in facts]
    days = [_EPOCH + timedelta(days=number) for number in {ms // _DAY_MS for ms in times}]
    months = {datetime(day.year, day.month, 1, tzinfo=UTC) for day in days if day.year < _NO_SUCH_YEAR}
    if len(facts) < MANY:
        return sorted(months), ()
    *own, kept, payloads = zip(*map(_parts, facts), strict=True)
    where = zip(*[(fact.partition, fact.stream, fact.entry_id) for fact in facts], strict=True)
    return sorted(months), whole(COPY.joined([times, *where, *own, _lines(kept), payloads]))


def row_of(fact: Fact) -> tuple[object, ...]:
    """The row of a fact, in the order of `COPY`'s columns."""
    *own, kept, payload = _parts(fact)
    return (fact.recorded_at, fact.partition, fact.stream, fact.entry_id, *own, _json(kept), payload)


def _parts(fact: Fact) -> tuple[str, str | None, str | None, str | None, dict[str, str], str | None]:
    """Type, event, lead, action, all other fields, and the payload."""
    event = fact.event
    if event is None:
        return "undecodable", None, None, None, fact.fields, None
    kept = fact.fields.copy()
    payload = kept.pop("payload", None)
    for name in _OWN_COLUMNS:
        kept.pop(name, None)
    return event.type, event.event_id, event.lead_id, event.action, kept, payload


def _lines(objects: Sequence[Mapping[str, str]]) -> list[bytes]:
    """Each as `_json` makes it, all in one go."""
    lines = _LINES.encode_lines(objects)
    if b"\\u0000" in lines:
        return [_json(each).encode() for each in objects]
    return lines.split(b"\n")[:-1]


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
