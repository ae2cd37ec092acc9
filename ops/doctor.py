"""`c2s doctor`: what is wrong with a system, and how to mend it.

Everything is read only, and no check stops the others. The one call to C2S (its company, the cheapest there
is) is made only where a token is set.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
from redis.exceptions import RedisError, ResponseError

from ops.alerts.readings import read_silence
from ops.alerts.silence import Silence
from ops.circuits import circuit_findings
from ops.findings import (
    Finding,
    backlog,
    clock,
    duration,
    eviction,
    persistence,
    postgres_version,
    redis_version,
    sealing,
)
from ops.migrate import pending
from ops.partitions import changing, standings
from ops.postgres import connect
from ops.postgres import translated as postgres_translated
from ops.reasons import why
from ops.redis import Client, command_client, nodes_of, translated
from ops.seal import sealing_of
from ops.settings import Role, Settings, load_settings
from schema.errors import MigrationError, SettingsError, StorageUnavailable
from schema.keys import GROUP, Keys

_C2S_TIMEOUT = aiohttp.ClientTimeout(total=15)
_CLOSE_TIMEOUT_S = 5.0
_ROLES: tuple[Role, ...] = ("ingress", "processor", "projector")


async def examine(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """All findings, in the order in which a person would look.

    Args:
        settings: of the system.
        environ: what they were read from, to check what each service needs of it.
    """
    checks = check_redis(settings), check_postgres(settings), check_c2s(settings), check_partitions(settings)
    parts = await asyncio.gather(*checks)
    found = [
        *check_settings(environ),
        check_sealing(settings),
        *(finding for part in parts for finding in part),
    ]
    return [f if f.level == "ok" else replace(f, why=why(f.check)) for f in found]


def check_settings(environ: Mapping[str, str]) -> list[Finding]:
    """Whether each service would start with these settings."""
    findings = []
    for role in _ROLES:
        try:
            load_settings(role, environ)
        except SettingsError as error:
            found = "would not start from this shell: " + "; ".join(str(error).splitlines())
            findings.append(
                Finding(
                    f"settings of {role}",
                    "warn",
                    found,
                    "set what is named (docs/settings.md)",
                )
            )
        else:
            findings.append(Finding(f"settings of {role}", "ok", "complete and consistent"))
    return findings


def check_sealing(settings: Settings) -> Finding:
    """Whether personal data is sealed."""
    codec = sealing_of(settings)
    return sealing(codec.key_ids if codec else ())


async def check_redis(settings: Settings) -> list[Finding]:
    """Version, persistence, eviction, clock, streams and what waits in them."""
    client = command_client(settings.redis_url.get_secret_value())
    try:
        with translated("examining it"):
            return await _redis_findings(client, settings)
    except (StorageUnavailable, RedisError) as error:
        words = str(error) if isinstance(error, StorageUnavailable) else type(error).__name__
        return [
            Finding("redis", "FAIL", words, "start Redis, or correct REDIS_URL; try `redis-cli -u URL PING`")
        ]
    finally:
        await client.aclose()


async def _redis_findings(client: Client, settings: Settings) -> list[Finding]:
    findings = [Finding("redis", "ok", "answers")]
    redis_now = 0.0
    for name, node in (await nodes_of(client)).items():
        found, redis_now = await _server_findings(node)
        findings += [replace(f, check=f"{f.check} {name}".strip()) for f in found]
    now = datetime.fromtimestamp(redis_now, UTC)
    for partition in range(settings.partitions.served):
        findings += await _stream_findings(client, Keys(partition), now)
    return [*findings, *await circuit_findings(client, redis_now)]


async def _server_findings(client: Client) -> tuple[list[Finding], float]:
    """What one server says of itself, and its time."""
    info: dict[str, Any] = await client.info()
    seconds, micros = await client.time()
    now_s = seconds + micros / 1_000_000
    return [
        redis_version(str(info.get("redis_version", "0"))),
        persistence(bool(info.get("aof_enabled")), str(info.get("aof_last_write_status", ""))),
        eviction(str(info.get("maxmemory_policy", ""))),
        clock("redis clock", now_s - datetime.now(UTC).timestamp()),
    ], now_s


async def _stream_findings(client: Client, keys: Keys, now: datetime) -> list[Finding]:
    name = f"stream {keys.webhooks}"
    try:
        groups: Any = await client.xinfo_groups(keys.webhooks)
    except ResponseError:
        return [Finding(name, "warn", "does not exist yet", "start a processor, or send a first webhook")]
    if not any(group["name"] == GROUP.encode() for group in groups):
        return [Finding(name, "warn", f"has no group {GROUP}", "start a processor: it makes the group")]
    length = await client.xlen(keys.webhooks)
    consumers: Any = await client.xinfo_consumers(keys.webhooks, GROUP)
    pending: Any = await client.xpending(keys.webhooks, GROUP)
    oldest = pending["min"].decode() if pending["min"] else ""
    findings = [
        Finding(name, "ok", f"{length} entries, {len(consumers)} consumers"),
        backlog(f"pending {keys.webhooks}", pending["pending"], oldest, now),
    ]
    dead = await client.xlen(keys.dead)
    if dead:
        remedy = "`c2s dead list`, then `c2s dead replay ID` or `c2s dead discard ID`"
        findings.append(Finding(f"dead letters {keys.dead}", "warn", f"{dead} waiting", remedy))
    return findings


async def check_postgres(settings: Settings) -> list[Finding]:
    """Version, clock and migrations."""
    try:
        connection = await connect(settings, application_name="c2s-doctor")
    except (StorageUnavailable, asyncpg.PostgresError, ValueError) as error:
        # Wrong passwords and malformed URLs are no outage, but here they end the same way.
        words = str(error) if isinstance(error, StorageUnavailable) else type(error).__name__
        return [
            Finding("postgres", "FAIL", words, "start PostgreSQL, or correct DATABASE_URL; try `psql URL`")
        ]
    try:
        with postgres_translated("examining it"):
            return await _postgres_findings(connection, settings)
    except (StorageUnavailable, asyncpg.PostgresError) as error:
        return [Finding("postgres", "FAIL", f"refused a query: {type(error).__name__}", "see its log")]
    finally:
        await connection.close(timeout=_CLOSE_TIMEOUT_S)


async def _postgres_findings(connection: asyncpg.Connection, settings: Settings) -> list[Finding]:
    version = connection.get_server_version()
    waiting = await _migrations(connection)
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return [
        Finding("postgres", "ok", "answers"),
        postgres_version(version.major, version.minor),
        clock("postgres clock", (now - datetime.now(UTC)).total_seconds()),
        waiting,
        *(await _arrivals(connection, settings) if waiting.level == "ok" else ()),
    ]


async def _arrivals(connection: asyncpg.Connection, settings: Settings) -> list[Finding]:
    """Whether webhooks come as usual, and whether those that do not come would be found."""
    silence = await read_silence(connection, settings)
    every = settings.reconcile_every
    remedy = "set RECONCILE_EVERY=15m on the processors once C2S sends its webhooks here"
    return [
        silence_finding(silence),
        Finding("reconcile", "ok", f"every {duration(timedelta(seconds=every))}")
        if every
        else Finding("reconcile", "ok", "off: webhooks that never came are not looked for", remedy),
    ]


def silence_finding(silence: Silence | None) -> Finding:
    """Whether no webhook has come for longer than usual."""
    if silence is None:
        return Finding("webhooks", "ok", "too little history to say what is usual at this hour")
    words = (
        f"the last one {duration(timedelta(seconds=silence.silent_s))} ago; the usual longest gap at this "
        f"hour is {duration(timedelta(seconds=silence.usual_s))}"
    )
    if silence.unusual:
        remedy = (
            "does C2S still send here? `c2s reconcile` finds what was missed, `c2s subscribe` takes it back"
        )
        return Finding("webhooks", "warn", words, remedy)
    return Finding("webhooks", "ok", words)


async def _migrations(connection: asyncpg.Connection) -> Finding:
    try:
        waiting = await pending(connection)
    except MigrationError as error:
        return Finding("migrations", "FAIL", str(error), "deploy the code that fits this database")
    if waiting:
        return Finding("migrations", "FAIL", f"pending: {', '.join(waiting)}", "run `c2s migrate`")
    return Finding("migrations", "ok", "up to date")


async def check_partitions(settings: Settings) -> list[Finding]:
    """Whether every lead is where it should be; nothing while Redis or Postgres is away, which others say."""
    client = command_client(settings.redis_url.get_secret_value())
    try:
        record = await connect(settings, application_name="c2s-doctor")
        try:
            return [changing(await standings(client, record, settings), settings.partitions)]
        finally:
            await record.close(timeout=_CLOSE_TIMEOUT_S)
    except (StorageUnavailable, RedisError, asyncpg.PostgresError, ValueError):
        return []
    finally:
        await client.aclose()


async def check_c2s(settings: Settings) -> list[Finding]:
    """Whether the token is good."""
    token = settings.c2s_token.get_secret_value()
    if not token:
        return [Finding("c2s token", "ok", "not checked: C2S_TOKEN is not set in this shell")]
    url = settings.c2s_base_url.rstrip("/") + "/integration/company"
    try:
        async with (
            aiohttp.ClientSession(timeout=_C2S_TIMEOUT) as session,
            session.get(url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False) as response,
        ):
            return [c2s_finding(response.status)]
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        remedy = "check C2S_BASE_URL and the network; accepted webhooks wait meanwhile"
        return [Finding("c2s token", "FAIL", f"C2S cannot be reached: {type(error).__name__}", remedy)]


def c2s_finding(status: int) -> Finding:
    """What the status of the company call says."""
    match status:
        case 200:
            return Finding("c2s token", "ok", "accepted by C2S")
        case 401 | 403:
            remedy = "set a valid C2S_TOKEN; the work that waits resumes by itself"
            return Finding("c2s token", "FAIL", f"refused by C2S ({status})", remedy)
        case 429:
            remedy = "try again in a minute; lower C2S_RATE_LIMIT if it stays so"
            return Finding("c2s token", "warn", "not checked: C2S says too many requests", remedy)
        case _:
            return Finding("c2s token", "warn", f"C2S answered {status}", "try again; check C2S_BASE_URL")
