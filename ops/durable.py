"""Durable: an append counts only once it is on disk (`REQUIRE_FSYNC`) and on replicas (`REQUIRE_REPLICAS`).

Redis answers a write before it is on disk, unless `appendfsync` is `always`. The append and its `WAITAOF` (or
`WAIT`) leave in one flush over one connection, for Redis waits for the last write *of that connection*: one
wait for everything that a group commit carries. What is not confirmed in time counts as a lost reply: it is
repeated with `again`, and kept in the spool after that.

Where the server has no `WAITAOF` (before Redis 7.2) only `appendonly yes` with `appendfsync always` will do.

Limit: a confirmed fsync is the kernel's word; a disk that lies about it is beyond us.
"""

from typing import Any

import structlog
from redis.exceptions import NoScriptError, RedisError, ResponseError

from ops.redis import Client, RedisRefused, translated
from ops.settings import Settings
from schema.errors import SettingsError, StorageUnavailable
from schema.scripts import ScriptCall

log = structlog.get_logger()

Wait = tuple[str | int, ...]


class Unconfirmed(StorageUnavailable):
    """Redis took the write but did not confirm in time that it is safe."""


class Durability:
    """Runs scripts whose writes must be safe before they count."""

    def __init__(self, *, fsync: bool, replicas: int, timeout_s: float) -> None:
        """Set up; the server is asked what it can do when it is first needed.

        Args:
            fsync: the write must be on the server's disk.
            replicas: on how many replicas it must be (on their disks too, with ``fsync`` and Redis 7.2).
            timeout_s: longest wait for either.
        """
        self._fsync = fsync
        self._replicas = replicas
        self._timeout_ms = round(timeout_s * 1000)
        self._wait: Wait | None = None

    async def check(self, client: Client) -> None:
        """Find out how the server confirms writes.

        Raises:
            SettingsError: it cannot.
            StorageUnavailable: it cannot be asked at present.
        """
        with translated("asking how it confirms writes"):
            if self._fsync and await _has_waitaof(client):
                if await _config(client, "appendonly") == "no":
                    raise SettingsError("REQUIRE_FSYNC: this Redis keeps no append-only file: appendonly yes")
                self._wait = ("WAITAOF", 1, self._replicas, self._timeout_ms)
                return
            if self._fsync and not await _syncs_always(client):
                raise SettingsError(
                    "REQUIRE_FSYNC: this Redis has no WAITAOF (7.2 and later have it), and it could not be"
                    " seen that it runs with appendonly yes and appendfsync always"
                )
            self._wait = ("WAIT", self._replicas, self._timeout_ms) if self._replicas else ()

    async def run(self, client: Client, call: ScriptCall) -> Any:
        """The raw reply of a script whose writes are safe.

        Raises:
            Unconfirmed: the writes were made, but may not be safe.
            StorageUnavailable: as `ops.redis.run`; also where the server cannot confirm anything.
        """
        if self._wait is None:
            try:
                await self.check(client)
            except SettingsError as error:
                raise RedisRefused(str(error)) from None
        try:
            with translated(f"running {call.script.name}"):
                return await self._send(client, call)
        except StorageUnavailable:
            self._wait = None  # after this another server may answer
            raise

    async def _send(self, client: Client, call: ScriptCall) -> Any:
        script = call.script
        tail: tuple[str | int, ...] = (len(call.keys), *call.keys, *call.args)
        reply, confirmed = await self._together(client, "EVALSHA", script.sha1, *tail)
        if isinstance(reply, NoScriptError):
            reply, confirmed = await self._together(client, "EVAL", script.source, *tail)
        if isinstance(reply, RedisError):
            raise reply
        self._judge(confirmed)
        return reply

    async def _together(self, client: Client, *command: str | int) -> tuple[Any, Any]:
        async with client.pipeline(transaction=False) as pipe:
            pipe.execute_command(*command)
            if self._wait:
                pipe.execute_command(*self._wait)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies[0], replies[1] if self._wait else None

    def _judge(self, confirmed: Any) -> None:
        if not self._wait:
            return
        if isinstance(confirmed, RedisError):
            log.warning("append.unconfirmed", error=type(confirmed).__name__)
            raise Unconfirmed("Redis could not confirm that the write is safe") from confirmed
        local, replicas = confirmed if self._wait[0] == "WAITAOF" else (1, confirmed)
        if local < 1 or replicas < self._replicas:
            log.warning("append.unconfirmed", on_disk=local, replicas=replicas)
            raise Unconfirmed("Redis did not confirm in time that the write is safe")


async def durability_of(settings: Settings, client: Client) -> Durability | None:
    """What the settings ask for; None where they ask for nothing.

    Raises:
        SettingsError: this Redis cannot confirm it. One that is away is asked before the first append.
    """
    if not settings.require_fsync and not settings.require_replicas:
        return None
    made = Durability(
        fsync=settings.require_fsync,
        replicas=settings.require_replicas,
        timeout_s=settings.durable_timeout_secs,
    )
    try:
        await made.check(client)
    except StorageUnavailable as error:
        log.warning("redis.away", error=str(error))
    return made


async def _has_waitaof(client: Client) -> bool:
    asks: Any = client.execute_command
    try:
        await asks("WAITAOF", 0, 0, 1)
    except ResponseError as error:
        return "unknown command" not in str(error).lower()
    return True


async def _config(client: Client, name: str) -> str:
    """The server's setting; empty where it does not tell (managed Redis often refuses CONFIG)."""
    asks: Any = client.execute_command
    try:
        found: Any = await asks("CONFIG", "GET", name)
    except ResponseError:
        return ""
    values = found.values() if isinstance(found, dict) else found[1::2]
    return next((v.decode() if isinstance(v, bytes) else str(v) for v in values), "")


async def _syncs_always(client: Client) -> bool:
    return await _config(client, "appendonly") == "yes" and await _config(client, "appendfsync") == "always"
