"""What an operator is told about a fault that no waiting mends: one line, no traceback."""

import asyncpg
from redis.exceptions import RedisError

from schema.errors import LeadstreamError

_UNMIGRATED = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)
_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientPrivilegeError,
)


def told(error: BaseException) -> str | None:  # noqa: PLR0911 -- a table
    """A fault in one line with what to do; None for what is a fault of ours and deserves its traceback.

    Nothing of a driver's text is passed on but its type: it may quote an address with its password.
    """
    name = type(error).__name__
    match error:
        case LeadstreamError():
            return str(error)
        case asyncpg.PostgresError() if isinstance(error, _UNMIGRATED):
            return "the database has not been migrated: run `c2s migrate`"
        case asyncpg.InvalidCatalogNameError():
            return "DATABASE_URL: there is no such database; create it, or correct the name"
        case asyncpg.PostgresError() if isinstance(error, _REFUSED):
            return f"DATABASE_URL: Postgres refuses this user ({name}); check name, password and grants"
        case asyncpg.ClientConfigurationError():
            return "DATABASE_URL: cannot be read; it must look like postgresql://user:password@host:5432/name"
        case asyncpg.PostgresError() | asyncpg.InterfaceError():
            return f"Postgres refused a query ({name}); see its log, and `c2s doctor`"
        case RedisError():
            return f"Redis refused a command ({name}); check REDIS_URL's user and password, and `c2s doctor`"
        case OSError():
            return f"{name}: {error.strerror or 'the machine refused it'}"
    return None
