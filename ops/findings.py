"""What `c2s doctor` finds, and the pure judgements behind it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]

REDIS_LEAST = (6, 2)
POSTGRES_LEAST = 14
DRIFT_WARN_S = 2.0
DRIFT_FAIL_S = 60.0
OLDEST_WARN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        check: what was looked at.
        level: ``ok``, ``warn`` (works, but look at it) or ``FAIL``.
        found: what was seen.
        remedy: what to do, with the command to run; empty where nothing is to be done.
        why: what it leads to if left so; empty where it is well.
    """

    check: str
    level: Level
    found: str
    remedy: str = ""
    why: str = ""


def redis_version(version: str) -> Finding:
    """Whether the server knows the commands we use."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers >= REDIS_LEAST:
        return Finding("redis version", "ok", version)
    return Finding("redis version", "FAIL", version, "upgrade Redis to 6.2 or later")


def postgres_version(major: int, minor: int) -> Finding:
    """Whether the server still gets fixes."""
    if major >= POSTGRES_LEAST:
        return Finding("postgres version", "ok", f"{major}.{minor}")
    return Finding("postgres version", "FAIL", f"{major}.{minor}", f"upgrade to {POSTGRES_LEAST} or later")


def persistence(aof_enabled: bool, last_write: str) -> Finding:
    """Whether an accepted webhook survives a restart of Redis."""
    if not aof_enabled:
        return Finding(
            "redis persistence",
            "FAIL",
            "append-only file is off: a restart loses accepted webhooks",
            "`redis-cli CONFIG SET appendonly yes`, and the same in redis.conf (docs/REDIS_SETUP.md)",
        )
    if last_write not in ("ok", ""):
        return Finding(
            "redis persistence",
            "FAIL",
            "the last write of the append-only file failed",
            "free disk space, then `redis-cli BGREWRITEAOF`",
        )
    return Finding("redis persistence", "ok", "append-only file is on")


def eviction(policy: str) -> Finding:
    """Whether Redis could throw away what we keep in it."""
    if policy == "noeviction":
        return Finding("redis eviction", "ok", policy)
    return Finding(
        "redis eviction",
        "FAIL",
        f"maxmemory-policy is {policy or 'unknown'}: Redis may drop streams and dedup keys",
        "`redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in redis.conf",
    )


def backlog(check: str, pending: int, oldest_id: str, now: datetime) -> Finding:
    """Whether entries that were read wait too long for their end.

    Args:
        check: the finding's name.
        pending: entries in the pending entries list.
        oldest_id: stream id of the oldest of them, or empty.
        now: by the clock that makes the stream ids.
    """
    if not pending or not oldest_id:
        return Finding(check, "ok", "nothing pending")
    age = now - datetime.fromtimestamp(int(oldest_id.split("-", 1)[0]) / 1000, UTC)
    found = f"{pending} pending, the oldest for {duration(age)}"
    if age > OLDEST_WARN:
        remedy = "see why with `c2s events list --status processing` and `c2s events show`"
        return Finding(check, "warn", found, remedy)
    return Finding(check, "ok", found)


def sealing(key_ids: tuple[str, ...]) -> Finding:
    """Whether personal data is sealed, by the ids of the keys at hand, the newest first."""
    if not key_ids:
        remedy = "put a key from `c2s keys new` into PAYLOAD_KEYS of every process"
        return Finding("sealing", "warn", "PAYLOAD_KEYS is not set: personal data is stored in clear", remedy)
    older = f", {len(key_ids) - 1} older" if key_ids[1:] else ""
    return Finding("sealing", "ok", f"with key {key_ids[0]}{older}")


def clock(check: str, drift_s: float) -> Finding:
    """How far a server's clock is from ours."""
    found = f"{drift_s:+.2f} s from this machine's clock"
    if abs(drift_s) > DRIFT_FAIL_S:
        return Finding(
            check, "FAIL", found, "set the clocks (NTP): signed webhooks would be refused as expired"
        )
    if abs(drift_s) > DRIFT_WARN_S:
        return Finding(check, "warn", found, "check NTP on both machines")
    return Finding(check, "ok", found)


def duration(span: timedelta) -> str:
    """A time span as a person says it: ``42 s``, ``3 min``, ``5 h``, ``2 d``."""
    seconds = max(0.0, span.total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
