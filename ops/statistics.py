"""The record's statistics: the plan's three queries as they stand there, and the operator's daily questions.

The questions are SQL functions (migration 008) of the time since when; the views `daily_…` ask the same of
the last 24 hours.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypedDict, cast

import asyncpg

from ops.inspect import Unmigrated
from ops.postgres import connect, translated
from ops.queries import query
from ops.settings import Settings

Row = dict[str, Any]
_LISTED = 100  # rows of a list that has no end of its own


class Statistics(TypedDict):
    """Every answer, as rows.

    The first three are the plan's (§5.1), over the last 24 hours or everything, as it wrote them.
    """

    by_status: list[Row]
    several_attempts: list[Row]
    success_rate: list[Row]
    status_by_hour: list[Row]
    success: list[Row]
    latency: list[Row]
    duplicates: list[Row]
    retries: list[Row]
    errors: list[Row]
    calls: list[Row]
    without_message: list[Row]
    waiting: list[Row]


_PLAN = ("by_status", "several_attempts", "success_rate")
_SINCE = ("status_by_hour", "success", "latency", "duplicates", "retries", "errors", "calls")


@asynccontextmanager
async def record(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection for reading statistics.

    Raises:
        StorageUnavailable: Postgres is away.
        Unmigrated: there is no record, or one of an older version.
    """
    connection = await connect(settings, application_name="c2s-stats")
    try:
        with translated("reading statistics"):
            yield connection
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError):
        raise Unmigrated("the database has not been migrated: run `c2s migrate`") from None
    finally:
        await connection.close(timeout=5)


async def read_statistics(connection: asyncpg.Connection | asyncpg.Pool, since: datetime) -> Statistics:
    """Every answer, for what was received since ``since``; the lists' first hundred rows."""
    found: dict[str, list[Row]] = {}
    for name in _PLAN:
        found[name] = _rows(await connection.fetch(query(f"stats_{name}")))
    for name in _SINCE:
        found[name] = _rows(await connection.fetch(f"SELECT * FROM stats_{name}($1)", since))  # noqa: S608 -- ours
    found["without_message"] = _rows(
        await connection.fetch("SELECT * FROM stats_without_message($1) LIMIT $2", since, _LISTED)
    )
    found["waiting"] = _rows(await connection.fetch("SELECT * FROM stats_waiting() LIMIT $1", _LISTED))
    return cast("Statistics", found)


def _rows(rows: list[asyncpg.Record]) -> list[Row]:
    return [dict(row) for row in rows]
