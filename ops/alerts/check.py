"""One check, from readings to what was told."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import asyncpg
import structlog

from ops.alerts.channels import NotTold, Tell, channels_of, ping
from ops.alerts.readings import RedisReadings, read_all
from ops.alerts.rules import Firing, faults, judge
from ops.alerts.store import Alert, AlertStore, Change, Telling
from ops.inspect import Unmigrated
from ops.postgres import connect
from ops.redis import Client, command_client
from ops.settings import Settings

log = structlog.get_logger()

_CLOSE_S = 2.0
_ROUNDS = 3  # a resolution becomes due when its opening was told

Checker = Literal["projector", "cli"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        firing: what is wrong now.
        changes: what opened and resolved by this check.
        faults: why the synthetic check failed; empty where it passed.
        unjudged: whether Redis could not be asked, so that its rules say nothing.
        redis: what it said; None where it could not be asked.
    """

    firing: tuple[Firing, ...]
    changes: tuple[Change, ...]
    faults: tuple[str, ...]
    unjudged: bool
    redis: RedisReadings | None = None


async def check(
    settings: Settings,
    checker: Checker,
    *,
    look_only: bool = False,
    client: Client | None = None,
    known: RedisReadings | None = None,
) -> Checked:
    """Read, judge, store and tell.

    Args:
        settings: of the system.
        checker: who asks.
        look_only: store and tell nothing.
        client: of Redis, for who checks often; one is opened for this check where there is none.
        known: what Redis said before, where nothing has happened since: it is not asked again.

    Raises:
        StorageUnavailable: Postgres is away.
        Unmigrated: there are no tables of ours.
    """
    conn = await connect(settings, application_name=f"c2s-alerts-{settings.instance}")
    redis = client or command_client(settings.redis_url.get_secret_value())
    try:
        readings = await read_all(conn, redis, settings, known=known)
        judgement = judge(readings, settings)
        ills = faults(readings, settings)
        if look_only:
            return Checked(judgement.firing, (), tuple(ills), readings.redis is None)
        channels = channels_of(settings)
        store = AlertStore(conn)
        changes = await store.apply(judgement, list(channels), checker=checker, faults=ills)
        for change in changes:
            _log(change)
        await tell(store, channels)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        raise Unmigrated("the database has not been migrated: run `c2s migrate`") from None
    finally:
        if client is None:
            await redis.aclose()
        await _close(conn)
    unjudged = readings.redis is None
    return Checked(judgement.firing, tuple(changes), tuple(ills), unjudged, readings.redis)


async def recent(settings: Settings, window_s: float) -> list[Alert]:
    """Open alerts, and those that opened within the window; errors as in `check`."""
    conn = await connect(settings, application_name=f"c2s-alerts-{settings.instance}")
    try:
        return await AlertStore(conn).recent(window_s)
    except asyncpg.UndefinedTableError:
        raise Unmigrated("the database has not been migrated: run `c2s migrate`") from None
    finally:
        await _close(conn)


async def tell(store: AlertStore, channels: Mapping[str, Tell]) -> None:
    """Tell what is due; faults of the channels are noted, never raised."""
    for _ in range(_ROUNDS):
        due = await store.claim(list(channels))
        if not due:
            return
        errors = await asyncio.gather(*(_try(channels[telling.channel], telling) for telling in due))
        for telling, error in zip(due, errors, strict=True):
            await store.told(telling, error)


async def heartbeat(settings: Settings, checked: Checked) -> bool:
    """Ping the dead-man switch if the synthetic check passed; whether it was told."""
    url = settings.heartbeat_url.get_secret_value()
    if not url or checked.faults:
        return False
    try:
        if settings.heartbeat_check_url:
            await ping(settings.heartbeat_check_url)
        await ping(url)
    except NotTold as fault:
        log.warning("heartbeat.failed", fault=str(fault))
        return False
    return True


async def _try(channel: Tell, telling: Telling) -> str:
    try:
        await channel(telling.change)
    except NotTold as fault:
        log.warning("alert.untold", channel=telling.channel, rule=telling.change.alert.rule, fault=str(fault))
        return str(fault)
    except Exception as error:  # noqa: BLE001 -- one channel's bug must not silence the others
        log.error("alert.channel_broken", channel=telling.channel, kind=type(error).__name__)  # noqa: TRY400 -- no URLs
        return type(error).__name__
    return ""


def _log(change: Change) -> None:
    a = change.alert
    if change.transition == "opened":
        log.error(
            "alert.opened", rule=a.rule, fingerprint=a.fingerprint, severity=a.severity, summary=a.summary
        )
    else:
        log.info("alert.resolved", rule=a.rule, fingerprint=a.fingerprint)


async def _close(conn: asyncpg.Connection) -> None:
    try:
        await conn.close(timeout=_CLOSE_S)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        conn.terminate()
