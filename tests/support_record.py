"""An emptied record, for tests that put facts into it by hand (a plugin of `conftest`)."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from ops.migrate import migrate

EMPTY = (
    "TRUNCATE webhook_events, event_log, projection_checkpoints, people, lead_people, lead_state, attempts,"
    " webhook_duplicates, dead_letters"
)


@pytest.fixture(scope="module")
async def dsn(database_url: str) -> str:
    """URL of a migrated database of the module's own."""
    await migrate(database_url)
    return database_url


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it; the record is empty."""
    conn = await asyncpg.connect(dsn)
    await conn.execute(EMPTY)
    yield conn
    await conn.close()
