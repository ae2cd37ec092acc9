"""Alerts in Postgres: opened once, resolved once, told in order.

Who checks does not matter, nor how many at once: the unique index lets one of them open, the update lets one
resolve, and an outbox row is claimed before it is sent. A crash between sending and marking tells twice
(PagerDuty drops the second by its key).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ops.alerts.rules import Judgement
from ops.postgres import translated

Transition = Literal["opened", "resolved"]

_MOST_TRIES = 12
_OPEN = """
INSERT INTO alerts AS a (fingerprint, rule, severity, summary, value, threshold)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[])
ON CONFLICT (fingerprint) WHERE resolved_at IS NULL
DO UPDATE SET seen_at = NOW(), severity = excluded.severity, summary = excluded.summary,
    value = excluded.value, threshold = excluded.threshold
RETURNING a.*, (xmax = 0) AS fresh
"""
_RESOLVE = """
UPDATE alerts SET resolved_at = NOW()
WHERE resolved_at IS NULL AND rule = ANY($1::text[]) AND NOT fingerprint = ANY($2::text[])
RETURNING *
"""
_TELL = """
INSERT INTO alert_deliveries (alert_id, transition, channel)
SELECT id, transition, channel FROM unnest($1::bigint[], $2::text[]) AS t(id, transition),
    unnest($3::text[]) AS channel
ON CONFLICT DO NOTHING
"""
_CHECKED = """
INSERT INTO alert_checks (name, checked_at, faults) VALUES ($1, NOW(), $2)
ON CONFLICT (name) DO UPDATE SET checked_at = excluded.checked_at, faults = excluded.faults
"""
# What is due, one step per alert and channel: a resolution waits until its opening was told or given up.
_CLAIM = """
UPDATE alert_deliveries d
SET tries = d.tries + 1, next_try_at = NOW() + least(power(2, d.tries), 60) * INTERVAL '1 minute'
FROM alerts a
WHERE a.id = d.alert_id AND d.id IN (
    SELECT due.id FROM alert_deliveries due
    WHERE due.delivered_at IS NULL AND due.next_try_at <= NOW() AND due.tries < $1 AND due.channel = ANY($2)
      AND NOT EXISTS (SELECT FROM alert_deliveries e WHERE e.alert_id = due.alert_id
        AND e.channel = due.channel AND e.id < due.id AND e.delivered_at IS NULL AND e.tries < $1)
    ORDER BY due.id LIMIT 50 FOR UPDATE SKIP LOCKED)
RETURNING d.id AS delivery_id, d.transition, d.channel, a.*
"""
_DELIVERED = "UPDATE alert_deliveries SET delivered_at = NOW(), last_error = NULL WHERE id = $1"
_FAILED = "UPDATE alert_deliveries SET last_error = $2 WHERE id = $1"
_LIST = """
SELECT * FROM alerts WHERE resolved_at IS NULL OR opened_at > NOW() - make_interval(secs => $1)
ORDER BY resolved_at IS NULL DESC, opened_at DESC LIMIT 200
"""


@dataclass(frozen=True, slots=True)
class Alert:
    """A stored alert; see the comments of the table."""

    id: int
    fingerprint: str
    rule: str
    severity: str
    summary: str
    value: float
    threshold: float
    opened_at: datetime
    seen_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """An alert that opened or resolved just now."""

    transition: Transition
    alert: Alert


@dataclass(frozen=True, slots=True)
class Telling:
    """One row of the outbox, claimed."""

    id: int
    channel: str
    change: Change


class AlertStore:
    """Reads and writes the tables of alerts; raises `StorageUnavailable` where Postgres is away."""

    def __init__(self, conn: asyncpg.Connection | PoolConnectionProxy) -> None:
        self._conn = conn

    async def apply(
        self, judgement: Judgement, channels: Sequence[str], *, checker: str, faults: Sequence[str]
    ) -> list[Change]:
        """Store a judgement; what opened and resolved by it."""
        firing = judgement.firing
        with translated("storing alerts"):
            async with self._conn.transaction():
                seen = await self._conn.fetch(
                    _OPEN,
                    [f.fingerprint for f in firing],
                    [f.rule for f in firing],
                    [f.severity for f in firing],
                    [f.summary for f in firing],
                    [f.value for f in firing],
                    [f.threshold for f in firing],
                )
                gone = await self._conn.fetch(
                    _RESOLVE, sorted(judgement.judged), [f.fingerprint for f in firing]
                )
                changes = [Change("opened", _alert(row)) for row in seen if row["fresh"]]
                changes += [Change("resolved", _alert(row)) for row in gone]
                ids, transitions = [c.alert.id for c in changes], [c.transition for c in changes]
                await self._conn.execute(_TELL, ids, transitions, list(channels))
                await self._conn.execute(_CHECKED, checker, list(faults))
        return changes

    async def claim(self, channels: Sequence[str]) -> list[Telling]:
        """What is to be told now over these channels; nobody else gets it for a minute or more."""
        with translated("claiming alerts to tell"):
            rows = await self._conn.fetch(_CLAIM, _MOST_TRIES, list(channels))
        return [Telling(r["delivery_id"], r["channel"], Change(r["transition"], _alert(r))) for r in rows]

    async def told(self, telling: Telling, error: str = "") -> None:
        """Note how telling went; ``error`` names the kind of fault."""
        with translated("noting a told alert"):
            if error:
                await self._conn.execute(_FAILED, telling.id, error)
            else:
                await self._conn.execute(_DELIVERED, telling.id)

    async def recent(self, window_s: float) -> list[Alert]:
        """Open alerts, and those that opened within the window; open ones first."""
        with translated("listing alerts"):
            return [_alert(row) for row in await self._conn.fetch(_LIST, window_s)]


def _alert(row: asyncpg.Record) -> Alert:
    return Alert(**{name: row[name] for name in Alert.__slots__})
