"""Redis clients, set up for what each connection is for.

* `command_client`: short commands, bounded in time, no hidden retries: a retried XADD whose reply was lost
  would append twice, so retrying is left to those who know how to do it safely.
* `blocking_client`: one connection for blocking reads, whose socket time-out is longer than the block.

Driver errors are translated here: what trying later may mend becomes `StorageUnavailable`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from schema.errors import StorageUnavailable
from schema.scripts import ScriptCall

COMMAND_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 3.0
_BLOCK_MARGIN_S = 10.0

Client = redis.Redis

# Error replies that say *this server cannot write now*, rather than *this command is wrong*.
_REFUSALS = ("MISCONF", "OOM", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN")


class RedisRefused(StorageUnavailable):
    """Redis answered, but refuses to write (out of memory, MISCONF, read-only replica, loading)."""


def command_client(url: str, *, max_connections: int = 20, timeout_s: float = COMMAND_TIMEOUT_S) -> Client:
    """A client for short commands. Answers are bytes."""
    return _client(url, timeout_s, max_connections)


def blocking_client(url: str, *, block_s: float) -> Client:
    """A client for one blocking read at a time, of at most ``block_s`` seconds."""
    return _client(url, block_s + _BLOCK_MARGIN_S, 2)


class _Packed:
    """Commands put on the wire by hiredis: an eighth of the time for a batch of webhooks.

    redis-py does so in its blocking client only.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [hiredis.pack_command((*name.split(), *args[1:]))]  # some names are of two words


def _client(url: str, timeout_s: float, max_connections: int) -> Client:
    # Callers beyond the connections wait for one; the plain pool would refuse them as if Redis were away.
    pool: Any = redis.BlockingConnectionPool.from_url(
        url,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
        max_connections=max_connections,
        decode_responses=False,
    )
    pool.connection_class = type("PackedConnection", (_Packed, pool.connection_class), {})
    return redis.Redis.from_pool(pool)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `StorageUnavailable` (or `RedisRefused`) for driver errors that time may mend.

    Args:
        doing: what was being done, for the error's text; no personal data.
    """
    try:
        yield
    except (OutOfMemoryError, ReadOnlyError, BusyLoadingError) as error:
        raise RedisRefused(f"Redis refuses to write while {doing}: {type(error).__name__}") from error
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StorageUnavailable(f"Redis cannot be reached while {doing}: {type(error).__name__}") from error
    except ResponseError as error:
        word = _first_word(error)
        if word in _REFUSALS:
            raise RedisRefused(f"Redis refuses to write while {doing}: {word}") from error
        raise


def _first_word(error: ResponseError) -> str:
    """The error's code; a script's error names it after a prefix such as `-OOM` or `: -MISCONF`."""
    text = str(error)
    for word in text.replace(":", " ").replace("-", " ").split():
        if word in _REFUSALS:
            return word
    return text.split(" ", 1)[0]


async def run(client: Client, call: ScriptCall) -> Any:
    """The raw reply of a script; it is loaded where the server does not know it yet.

    Raises:
        StorageUnavailable: Redis is away or refuses to write; the call may or may not have had its effect
            unless it is a `RedisRefused`.
    """
    script = call.script
    with translated(f"running {script.name}"):
        try:
            return await client.evalsha(script.sha1, len(call.keys), *call.keys, *call.args)
        except NoScriptError:
            return await client.eval(script.source, len(call.keys), *call.keys, *call.args)
