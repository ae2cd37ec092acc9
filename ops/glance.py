"""The system at a glance, for `c2s top`: queue, work, rates, budgets, breakers, lag, the last events.

Read only, no SCAN, a fixed number of small commands per look. A side that is away is told, not raised.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from redis.exceptions import RedisError, ResponseError

from ops.alive import live_processors
from ops.faults import told
from ops.follow import Followed, newest, stream_names
from ops.postgres import translated as postgres_translated
from ops.queries import query
from ops.redis import Client, run, translated
from ops.settings import Settings
from schema.budget import APIS
from schema.errors import StorageUnavailable
from schema.keys import GROUP, BudgetKeys, Keys
from schema.survey import read_survey, survey

_WINDOW_MS = 60_000
_MOST = 2_000  # entries counted per look and stream: beyond it a number is a least
_EVENTS = 12
_RECORD = """
SELECT (SELECT count(*) FROM alerts WHERE resolved_at IS NULL) AS alerts,
    (SELECT count(*) FROM ingress_spool) AS spooled
"""
_ENDS = frozenset({"lead_processed", "lead_dead_lettered", "event_ignored"})


@dataclass(slots=True)
class Queue:
    """What waits, of all partitions.

    Attributes:
        unread: accepted, not yet read by a processor.
        in_work: read, and neither waiting for a retry nor for a slot: in work, or next of its lead.
        retries: waiting for their next attempt.
        parked: of low priority, waiting for a slot.
        dead: given up, waiting for a decision.
        processors: those that were heard of lately (see `ops.alive`).
        oldest_s: age of the oldest without an end.
    """

    unread: int = 0
    in_work: int = 0
    retries: int = 0
    parked: int = 0
    dead: int = 0
    processors: int = 0
    oldest_s: float | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """One outside API: its limit, calls that wait for their turn, the next turn and the breaker."""

    api: str
    limit: str
    waiting: int
    free_in_s: float
    open_for_s: float | None


@dataclass(slots=True)
class Glance:
    """One look.

    Attributes:
        queue: None while Redis is away: nothing known is not nothing waiting.
        accepted, ended, failed: webhooks, ends and failed attempts of the last minute; likewise.
        lag_s: how far the record is behind the streams; None where it is not, or nobody knows.
        alerts: open ones; ``spooled`` webhooks kept in Postgres; None while Postgres is away.
        away: what could not be asked, in words.
    """

    at: datetime
    queue: Queue | None
    accepted: int | None
    ended: int | None
    failed: int | None
    lag_s: float | None
    alerts: int | None
    spooled: int | None
    budgets: list[Budget]
    events: list[Followed]
    away: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For machines; events without anything personal."""
        plain = {
            n: getattr(self, n) for n in ("at", "accepted", "ended", "failed", "lag_s", "alerts", "spooled")
        }
        last = [
            {
                "entry_id": f.entry_id,
                "type": f.event.type,
                "lead_id": f.event.lead_id,
                "event_id": f.event.event_id,
            }
            for f in self.events
        ]
        return {
            **plain,
            "queue": asdict(self.queue) if self.queue else None,
            "budgets": [asdict(budget) for budget in self.budgets],
            "events": last,
            "away": self.away,
        }


async def look(client: Client, record: asyncpg.Connection | None, settings: Settings) -> Glance:
    """One look; ``record`` is None while Postgres is away."""
    found = Glance(datetime.now(UTC), None, None, None, None, None, None, None, [], [], [])
    checkpoints: dict[tuple[int, str], str] = {}
    if record is not None:
        try:
            with postgres_translated("looking at the record"):
                row = await record.fetchrow(_RECORD)
                rows = await record.fetch(query("checkpoints"))
            found.alerts, found.spooled = (row["alerts"], row["spooled"]) if row else (None, None)
            checkpoints = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
        except (StorageUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            found.away.append(told(error) or "Postgres")
    try:
        with translated("looking at the streams"):
            await _streams(found, client, settings, checkpoints)
            await _budgets(found, client, settings)
    except (StorageUnavailable, RedisError) as error:
        found.away.append(told(error) or "Redis")
    return found


async def _streams(
    found: Glance, client: Client, settings: Settings, checkpoints: dict[tuple[int, str], str]
) -> None:
    lags, queue = [], Queue()
    taken = ended = failed = 0
    for partition in range(settings.partitions.served):
        keys = Keys(partition)
        at = [checkpoints.get((partition, stream), "0-0") for stream in ("webhooks", "outcomes")]
        seen = read_survey(await run(client, survey(keys, *at)))
        queue.dead += seen.dead
        queue.oldest_s = max(filter(None, (queue.oldest_s, seen.oldest_s)), default=None)
        if checkpoints and seen.lag_s is not None:
            lags.append(seen.lag_s)
        await _queue(queue, client, keys)
        since = f"{round(seen.now_s * 1000) - _WINDOW_MS}"
        accepted: Any = await client.xrange(keys.webhooks, since, "+", count=_MOST)
        outcomes: Any = await client.xrange(keys.outcomes, since, "+", count=_MOST)
        kinds = [fields.get(b"type", b"").decode() for _, fields in outcomes]
        taken += len(accepted)
        ended += sum(kind in _ENDS for kind in kinds)
        failed += kinds.count("attempt_failed")
    queue.processors = await live_processors(client, settings)
    found.queue, found.accepted, found.ended, found.failed = queue, taken, ended, failed
    found.lag_s = max(lags, default=None)
    names = stream_names(settings.partitions.served, ("outcomes",))
    found.events, _ = await newest(client, names, _EVENTS)


async def _queue(queue: Queue, client: Client, keys: Keys) -> None:
    try:
        groups: Any = await client.xinfo_groups(keys.webhooks)
    except ResponseError:
        return  # nothing has come yet
    group = next((g for g in groups if g["name"] == GROUP.encode()), None)
    if group is None:
        return
    after = f"({group['last-delivered-id'].decode()}"
    unread: Any = await client.xrange(keys.webhooks, after, "+", count=_MOST)
    retries, parked = await client.zcard(keys.retries), await client.zcard(keys.parked)
    queue.unread += len(unread)
    queue.retries += retries
    queue.parked += parked
    queue.in_work += max(0, group["pending"] - retries - parked)


async def _budgets(found: Glance, client: Client, settings: Settings) -> None:
    seconds, micros = await client.time()
    now_s = seconds + micros / 1_000_000
    limits = {
        "c2s": settings.c2s_rate_limit,
        "diretrix": settings.diretrix_rate_limit,
        "work": settings.work_api_rate_limit,
    }
    for api in APIS:
        keys = BudgetKeys(api)
        values: Any = await client.hmget(keys.budget, ["free", "open", "since"])
        free, opened, since = (float(value or 0) / 1000 for value in values)
        waiting = await client.zcard(keys.row)
        open_for = max(0.0, now_s - since) if opened else None
        found.budgets.append(
            Budget(api, limits[api] or "no limit", waiting, max(0.0, free - now_s), open_for)
        )
