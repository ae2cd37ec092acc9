"""Redis clients, set up for what each connection is for.

* `command_client`: short commands, bounded in time, no hidden retries: a retried XADD whose reply was lost
  would append twice, so retrying is left to those who know how to do it safely.
* `blocking_client`: one connection for blocking reads, whose socket time-out is longer than the block.

REDIS_URL may also name a Redis Cluster or the Sentinels of a master (`ops.redis_place`): the client is then
one that finds the node by itself, with the same methods.

Driver errors are translated here: what trying later may mend becomes `StorageUnavailable`.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import hiredis
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from ops.redis_cluster import ClusterClient
from ops.redis_place import place_of
from ops.redis_sentinel import MasterPool, connection_of
from schema.errors import StorageUnavailable
from schema.scripts import ScriptCall

COMMAND_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 3.0
_BLOCK_MARGIN_S = 10.0

# A machine that vanished closes no connection: this tells a blocked reader within half a minute, for nothing.
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}

Client = redis.Redis

# Error replies that say *this server cannot write now*, rather than *this command is wrong*.
_REFUSALS = ("MISCONF", "OOM", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN")
_DEMOTED = "instance state changed"  # told to blocked readers of a master that has become a replica


class RedisRefused(StorageUnavailable):
    """Redis answered, but refuses to write (out of memory, MISCONF, read-only replica, loading)."""


def command_client(url: str, *, max_connections: int = 20, timeout_s: float = COMMAND_TIMEOUT_S) -> Client:
    """A client for short commands. Answers are bytes."""
    return _client(url, timeout_s, max_connections)


def blocking_client(url: str, *, block_s: float, at_once: int = 1) -> Client:
    """A client for blocking reads of at most ``block_s`` seconds, so many ``at_once`` (of one node)."""
    return _client(url, block_s + _BLOCK_MARGIN_S, 1 + at_once)


class _Packed:
    """Commands put on the wire by hiredis: an eighth of the time for a batch of webhooks.

    redis-py does so in its blocking client only.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [hiredis.pack_command((*name.split(), *args[1:]))]  # some names are of two words


def _client(url: str, timeout_s: float, max_connections: int) -> Client:
    place = place_of(url)
    if place.kind == "cluster":

        def node(host: str, port: int) -> Client:
            return _server(place.node_url(host, port), timeout_s, max_connections)

        return ClusterClient(place.seeds, node)
    if place.kind == "sentinel":
        found = partial(MasterPool.from_url, place=place)
        return _server(place.node_url(*place.seeds[0]), timeout_s, max_connections, found)
    return _server(url, timeout_s, max_connections)


def _server(
    url: str, timeout_s: float, max_connections: int, made: Any = redis.BlockingConnectionPool.from_url
) -> Client:
    # Callers beyond the connections wait for one; the plain pool would refuse them as if Redis were away.
    pool: Any = made(
        url,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        socket_keepalive_options=_KEEPALIVE,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        health_check_interval=0,
        max_connections=max_connections,
        decode_responses=False,
    )
    kind = connection_of(pool)
    pool.connection_class = type("PackedConnection", (_Packed, kind), {})
    client = redis.Redis.from_pool(pool)
    client.set_response_callback("XREAD", _streams(client.response_callbacks["XREAD"]))
    return client


def _streams(parse: Callable[..., Any]) -> Callable[..., Any]:
    """redis-py makes a dict of each entry, in Python: who reads many asks for them `as_sent`."""

    def streams(reply: Any, *, as_sent: bool = False, **options: Any) -> Any:
        return reply if as_sent else parse(reply, **options)

    return streams


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `StorageUnavailable` (or `RedisRefused`) for driver errors that time may mend.

    Args:
        doing: what was being done, for the error's text; no personal data.
    """
    try:
        yield
    except (
        OutOfMemoryError,
        ReadOnlyError,
        BusyLoadingError,
        ClusterDownError,
        AskError,
        TryAgainError,
    ) as error:
        raise RedisRefused(f"Redis refuses to write while {doing}: {type(error).__name__}") from error
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StorageUnavailable(f"Redis cannot be reached while {doing}: {type(error).__name__}") from error
    except ResponseError as error:
        word = _first_word(error)
        if _DEMOTED in str(error):
            raise StorageUnavailable(f"Redis is no longer the master while {doing}") from error
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


async def nodes_of(client: Client) -> dict[str, Client]:
    """The servers that hold something, by name: a cluster's nodes, else the one there is, without a name."""
    return await client.primaries() if isinstance(client, ClusterClient) else {"": client}


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
