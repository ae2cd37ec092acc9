"""The numbers that alerts are judged by, from Postgres and Redis; a side that is away reads as None."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from redis.exceptions import RedisError

from ops.alerts.silence import HALF_STRETCH_S, WEEKS, Silence, silence_of
from ops.postgres import translated as postgres_translated
from ops.queries import query
from ops.recover import VANISHED
from ops.redis import Client, nodes_of, run, translated
from ops.settings import Settings
from schema.errors import StorageUnavailable
from schema.keys import BudgetKeys, Keys
from schema.survey import Surveyed, read_survey, survey

APIS = ("c2s", "diretrix", "work")
_START = "0-0"
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RecordReadings:
    """What Postgres says.

    Attributes:
        retrying: events with too many failed attempts.
        c2s_failures: events that failed at C2S within the window.
        refused: events that wait because our token was refused, by API.
        vanished: entries that were deleted from the stream before their end, within the window.
        spooled: webhooks in the spool.
    """

    retrying: int
    c2s_failures: int
    events: int
    duplicates: int
    refused: Mapping[str, int]
    vanished: int
    spooled: int
    silence: Silence | None


@dataclass(frozen=True, slots=True)
class RedisReadings:
    """What Redis says; times in seconds, None where there is nothing to tell.

    Attributes:
        oldest_s: age of the oldest entry without an end.
        lag_s: age of the oldest entry that is not on record.
        processor_s: time since a processor was last heard of.
        breakers: for how long each open circuit breaker has been open, by API.
        memory: share of the memory in use.
        disk: ways of persisting that fail at present.
    """

    oldest_s: float | None
    lag_s: float | None
    dead: int
    processor_s: float | None
    previous_secret_s: float | None
    breakers: Mapping[str, float]
    memory: float
    disk: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readings:
    """Both; ``redis_fault`` says why Redis could not be asked."""

    record: RecordReadings
    redis: RedisReadings | None
    redis_fault: str = field(default="")


def is_quiet(redis: RedisReadings) -> bool:
    """Whether nothing there waits or fails: without a webhook it stays so."""
    waits = redis.oldest_s is not None or redis.lag_s is not None
    rotating = redis.previous_secret_s is not None and redis.previous_secret_s < _DAY_S
    return not (waits or rotating or redis.breakers or redis.disk)


async def read_all(
    conn: asyncpg.Connection, client: Client, settings: Settings, *, known: RedisReadings | None = None
) -> Readings:
    """Ask both; Redis only where what it says is not known.

    Raises:
        StorageUnavailable: Postgres is away: without it nothing can be stored either.
    """
    with postgres_translated("reading what alerts ask"):
        record = await read_record(conn, settings)
        rows = await conn.fetch(query("checkpoints"))
    checkpoints = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
    if known is not None:
        return Readings(record, known)
    try:
        return Readings(record, await _read_redis(client, settings, checkpoints))
    except (StorageUnavailable, RedisError) as error:
        return Readings(record, None, type(error).__name__)


async def read_record(conn: asyncpg.Connection, settings: Settings) -> RecordReadings:
    """What Postgres says."""
    row = await conn.fetchrow(query("alerts_record"), settings.alert_window, settings.alert_retries, VANISHED)
    assert row is not None  # noqa: S101 -- a query without FROM gives a row
    return RecordReadings(
        retrying=row["retrying"],
        c2s_failures=row["c2s_failures"],
        events=row["events"],
        duplicates=row["duplicates"],
        refused=orjson.loads(row["refused"]),
        vanished=row["vanished"],
        spooled=row["spooled"],
        silence=await read_silence(conn, settings),
    )


async def read_silence(conn: asyncpg.Connection, settings: Settings) -> Silence | None:
    """How long no webhook came, against what is usual; None with too little history."""
    row = await conn.fetchrow(query("alerts_silence"), WEEKS, HALF_STRETCH_S)
    assert row is not None  # noqa: S101 -- as above
    return silence_of(
        row["silent_s"],
        row["gaps_s"],
        factor=settings.alert_silence_factor,
        least_s=settings.alert_silence_least,
    )


async def _read_redis(
    client: Client, settings: Settings, checkpoints: Mapping[tuple[int, str], str]
) -> RedisReadings:
    seen: list[Surveyed] = []
    for partition in range(settings.partitions.served):
        at = [checkpoints.get((partition, stream), _START) for stream in ("webhooks", "outcomes")]
        seen.append(read_survey(await run(client, survey(Keys(partition), *at))))
    with translated("reading its state"):
        infos: list[dict[str, Any]] = [await node.info() for node in (await nodes_of(client)).values()]
    # One after the other, over one connection: commands are billed, and a new connection costs some.
    breakers = [await _breaker(client, api, seen[0].now_s) for api in APIS]
    return RedisReadings(
        oldest_s=_largest(s.oldest_s for s in seen),
        lag_s=_largest(s.lag_s for s in seen),
        dead=sum(s.dead for s in seen),
        processor_s=_largest(s.processor_s for s in seen),
        previous_secret_s=seen[0].previous_secret_s,
        breakers={api: s for api, s in zip(APIS, breakers, strict=True) if s is not None},
        memory=max(memory_share(info) for info in infos),
        disk=tuple(dict.fromkeys(name for info in infos for name in failing_disk(info))),
    )


async def _breaker(client: Client, api: str, now_s: float) -> float | None:
    """For how long an API's circuit breaker has been open; None where it is closed."""
    with translated("reading a circuit breaker"):
        values: Any = await client.hmget(BudgetKeys(api).budget, ["open", "since"])
    open_until, since = values
    if not open_until or float(open_until) <= 0:
        return None
    return max(0.0, now_s - float(since) / 1000) if since else 0.0


def memory_share(info: Mapping[str, Any]) -> float:
    """Share of what Redis may use that it uses: of ``maxmemory``, else of the machine's memory."""
    limit = int(info.get("maxmemory") or info.get("total_system_memory") or 0)
    return int(info.get("used_memory", 0)) / limit if limit else 0.0


def failing_disk(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The ways of persisting whose last try failed, as INFO names them."""
    states = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    return tuple(name for name in states if str(info.get(name, "ok")) not in ("ok", ""))


def _largest(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
