"""A long history, fast: what so many webhooks leave behind in Redis and in Postgres, without trimming.

The record of the first webhooks is a projector's; it is then multiplied inside of Postgres, column by column,
each copy with ids of its own. In Redis a script writes dedup keys and entries alike.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from bench.projection_worker import put
from bench.rig import KEYS, body
from ops.redis import Client
from projections.projector import Projector, read_models
from scale.generator import facts, now
from schema.codec import PlainCodec
from schema.events import Event, LeadProcessed, ProcessingStarted, WebhookAccepted, encode
from schema.identity import CREATE, event_id_of
from schema.keys import GROUP

_CHUNK = 10_000
_DEDUP_S = 30 * 86_400

# In the order of their references. Whatever column is not named below is copied as it is.
_TABLES = (
    *("event_log", "webhook_events", "attempts", "lead_state", "webhook_duplicates", "dead_letters"),
    *("people", "lead_people", "subjects", "subject_index", "subject_leads"),
)
_TEXTS = frozenset({"lead_id", "entry_id", "cpf", "hash"})  # of entry ids the sequence grows
_COLUMNS = """
SELECT column_name AS name, data_type AS type FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position
"""
_FILL = """
local flat, from, to, n = {}, tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for _, key in ipairs(KEYS) do flat[key] = {} end
local at = 4
for _, key in ipairs(KEYS) do
  local kinds = tonumber(ARGV[at])
  at = at + 1
  for k = 1, kinds do
    local width, list = tonumber(ARGV[at]), {}
    for i = 1, width do list[i] = ARGV[at + i] end
    flat[key][k], at = list, at + 1 + width
  end
end
for number = from, to do
  local s = redis.sha1hex(number)
  local event_id = table.concat({s:sub(1, 8), s:sub(9, 12), s:sub(13, 16), s:sub(17, 20), s:sub(21, 32)}, '-')
  redis.call('SET', ARGV[3] .. number .. ':on_create_lead', event_id, 'EX', 2592000)
  for _, key in ipairs(KEYS) do
    for _, list in ipairs(flat[key]) do
      for i = 1, #list, 2 do
        if list[i] == 'event_id' then list[i + 1] = event_id end
        if list[i] == 'lead_id' then list[i + 1] = 'fill-' .. number end
      end
      redis.call('XADD', key, '*', unpack(list))
    end
  end
end
"""


async def fill_record(conn: asyncpg.Connection, redis: Client, events: int, base: int) -> None:
    """The record of ``events`` webhooks, a multiple of ``base``; the streams hold the first of them."""
    await redis.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    await put(redis, list(facts(base, now() - timedelta(hours=1), now())))
    projector = Projector(conn, redis, partitions=1, batch=5_000, models=read_models(PlainCodec()))
    while await projector.poll_once(0):
        pass
    await conn.execute(
        "SET session_replication_role = replica"
    )  # the copies refer to each other as the first do
    for table in _TABLES if events > base else ():
        columns = await conn.fetch(_COLUMNS, table)
        copied = ", ".join(_copied(column["name"], column["type"]) for column in columns)
        names = ", ".join(column["name"] for column in columns)
        await conn.execute(
            f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
            f" SELECT {copied} FROM {table} CROSS JOIN generate_series(1, {events // base - 1}) AS k"
        )
    await conn.execute("RESET session_replication_role")
    await conn.execute("VACUUM ANALYZE")


def _copied(name: str, kind: str) -> str:
    if kind == "uuid":
        return f"md5({name}::text || k)::uuid"
    if name in {"person_id", "id"}:
        return f"{name} + k * 1000000000::bigint"
    return f"{name} || lpad(k::text, 4, '0')" if name in _TEXTS else name


async def fill_streams(conn: asyncpg.Connection, redis: Client, events: int, base: int) -> None:
    """Dedup keys and entries of ``events`` webhooks altogether, all of them read, finished and on record."""
    flats = [_flat(*_life()[:1]), _flat(*_life()[1:])]
    for start in range(1, events - base + 1, _CHUNK):
        to = min(start + _CHUNK - 1, events - base)
        words = [str(start), str(to), KEYS.dedup("fill-"), *flats[0], *flats[1]]
        await redis.eval(_FILL, 2, KEYS.webhooks, KEYS.outcomes, *words)
    for stream, key in (("webhooks", KEYS.webhooks), ("outcomes", KEYS.outcomes)):
        [(last, _)] = await redis.xrevrange(key, count=1)
        await conn.execute(
            "UPDATE projection_checkpoints SET entry_id = $1 WHERE stream = $2", last.decode(), stream
        )
    await redis.xgroup_setid(KEYS.webhooks, GROUP, "$")


def _life() -> tuple[Event, ...]:
    moment = datetime.now(UTC)
    about = {"event_id": event_id_of("fill"), "lead_id": "fill", "action": CREATE, "received_at": moment}
    more = {"at": moment, "attempt": 1, "fence": 1, "instance": "fill"}
    return (
        WebhookAccepted(**about, version="v", source="webhook", payload=body("fill").decode()),
        ProcessingStarted(**about, **more),
        LeadProcessed(**about, **more, result="recorded"),
    )


def _flat(*some: Event) -> Sequence[str]:
    words = [str(len(some))]
    for event in some:
        flat = [word for pair in encode(event).items() for word in pair]
        words += [str(len(flat)), *flat]
    return words
