"""Connections to the master that Sentinels name: each new one asks them, so a failover mends itself.

A connection whose server says READONLY was a master's that is one no more: it is closed, and the command
counts as lost.
"""

import asyncio
import weakref
from typing import Any

import redis.asyncio as redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from ops.redis_place import Address, RedisPlace

_ASK_TIMEOUT_S = 1.0


class MasterPool(redis.BlockingConnectionPool):
    """Connections to whoever is master at the time; unlike in redis-py's own pool, callers wait for one."""

    is_master = True
    check_connection = False

    def __init__(self, *, place: RedisPlace, **kwargs: Any) -> None:
        """Set up; nobody is asked yet.

        Args:
            place: the Sentinels and the master's name.
            kwargs: of a pool.
        """
        super().__init__(**kwargs)
        for name in ("host", "port"):
            self.connection_kwargs.pop(name, None)
        self.connection_kwargs["connection_pool"] = weakref.proxy(self)
        self._master = place.master
        self._address: Address | None = None
        of_sentinel: dict[str, Any] = dict(place.of_sentinel)
        made: Any = Sentinel
        self._sentinel = made(
            list(place.seeds),
            sentinel_kwargs={
                "socket_timeout": _ASK_TIMEOUT_S,
                "socket_connect_timeout": _ASK_TIMEOUT_S,
                **of_sentinel,
            },
        )
        self._asking = asyncio.Lock()

    async def get_master_address(self) -> Address:
        """Where the master is now; idle connections to another are closed.

        Raises:
            ConnectionError: no Sentinel knows one.
        """
        async with self._asking:
            address: Address = await self._sentinel.discover_master(self._master)
        if address != self._address:
            self._address = address
            await self.disconnect(inuse_connections=False)
        return address

    async def aclose(self) -> None:
        """Close the connections to the master and to the Sentinels."""
        await super().aclose()
        await asyncio.gather(*(client.aclose() for client in self._sentinel.sentinels))


def connection_of(pool: redis.ConnectionPool) -> type[Any]:
    """The class of a pool's connections."""
    made: type[Any] = pool.connection_class
    if not isinstance(pool, MasterPool):
        return made
    return SentinelManagedSSLConnection if issubclass(made, SSLConnection) else SentinelManagedConnection
