"""Values in COPY's binary form, as Postgres reads them back."""

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from projections import copying
from projections.copying import MANY, Copy

EVERY = Copy(
    "every",
    {
        "number": copying.bigint,
        "words": copying.text,
        "again": copying.few(copying.text),
        "body": copying.jsonb,
        "id": copying.uuid,
        "at": copying.timestamptz,
        "ms": copying.milliseconds,
        "small": copying.smallint,
        "middle": copying.integer,
        "yes": copying.boolean,
    },
)
TABLE = """
CREATE TEMPORARY TABLE every (number BIGINT PRIMARY KEY, words TEXT, again TEXT, body JSONB, id UUID,
    at TIMESTAMPTZ, ms TIMESTAMPTZ, small SMALLINT, middle INT, yes BOOLEAN)
"""
ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def rows(first: int) -> list[tuple[object, ...]]:
    """Rows of every kind, the numbers from ``first``."""
    some: list[tuple[object, ...]] = [
        ("Olá\t\\N\n", "a", '{"a": [1, "ã"]}', ID, FIRST, 0, -(2**15), -(2**31), True),
        ("", "", "[]", ID.replace("6", "7"), LAST, 253_402_214_400_000, 2**15 - 1, 2**31 - 1, False),
        (None, None, None, None, None, 1_700_000_000_123, None, None, None),
        ("x" * 70_000, "a", "null", ID, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), 1, 0, 0, True),
    ]
    return [(first + n, *some[n % len(some)]) for n in range(MANY)]


@pytest.fixture
async def conn(database_url):
    made = await asyncpg.connect(database_url)
    await made.execute(TABLE)
    yield made
    await made.close()


@pytest.mark.parametrize("data", [EVERY.encoded, EVERY.pieces])
async def test_every_kind_comes_back(conn, data):
    """What was copied is what was there, to the microsecond and to the ends of each type."""
    wanted = rows(-(2**63))
    assert await EVERY.sent(conn, data(wanted))
    found = [tuple(row) for row in await conn.fetch("SELECT * FROM every ORDER BY number")]
    for row, got in zip(wanted, found, strict=True):
        number, words, again, body, event_id, at, ms, *rest = row
        assert got[:4] == (number, words, again, body)
        assert got[4] == (None if event_id is None else UUID(event_id))
        assert got[5:] == (at, datetime.fromtimestamp(ms / 1000, UTC), *rest)


async def test_one_that_is_there_takes_all_back(conn):
    """The transaction goes on without any of the rows."""
    async with conn.transaction():
        assert await EVERY.sent(conn, EVERY.encoded(rows(0)))
        assert not await EVERY.sent(conn, EVERY.encoded(rows(MANY - 1)))
    assert await conn.fetchval("SELECT count(*) FROM every") == MANY


async def test_too_few_are_not_copied(conn):
    """A COPY is not worth its round trips then."""
    assert not EVERY.encoded(rows(0)[1:])
    assert not await EVERY.sent(conn, ())
