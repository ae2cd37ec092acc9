"""Postgres: pools and connections set up for a small machine, driver errors translated at the edge."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from ops.settings import Settings
from schema.errors import StorageUnavailable

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0

# What trying later may mend: lost or refused connections, a server that starts, stops or has no room.
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.InterfaceError,
    # The driver's state after a server said goodbye between two commands, or changed its schema.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise `StorageUnavailable` for driver errors that time may mend.

    Args:
        doing: what was being done, for the error's text; no personal data.
    """
    try:
        yield
    except _AWAY as error:
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            raise  # the driver's word for arguments that no waiting will mend
        raise StorageUnavailable(
            f"Postgres is not available while {doing}: {type(error).__name__}"
        ) from error


def _options(application_name: str) -> dict[str, Any]:
    return {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
        # Keepalives: a machine that vanished without a word must not hold its locks for hours.
        "server_settings": {
            "application_name": application_name,
            "timezone": "UTC",
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
        },
    }


async def create_pool(
    settings: Settings, *, min_size: int, max_size: int, application_name: str
) -> asyncpg.Pool:
    """A pool; with ``min_size=0`` it opens also while Postgres is away, and connects when first used."""
    with translated("opening a pool"):
        return await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=min_size,
            max_size=max_size,
            **_options(application_name),
        )


async def connect(settings: Settings, *, application_name: str) -> asyncpg.Connection:
    """One connection of its own, for session locks.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    with translated("connecting"):
        return await asyncpg.connect(settings.database_url.get_secret_value(), **_options(application_name))
