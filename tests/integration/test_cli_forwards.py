"""`c2s forwards` on a record with copies in every state."""

import asyncio
import json
import subprocess

import asyncpg
import pytest
import redis
from support_forks import run_c2s

from ops.migrate import migrate

ONE = "11111111-1111-5111-8111-111111111111"
ROWS = """
TRUNCATE forwards;
INSERT INTO forwards (id, lead_id, received_at, headers, body, state, attempts, due_at, last_error, last_at)
VALUES
    ('11111111-1111-5111-8111-111111111111', 'L1', NOW() - INTERVAL '4 days', '{}', '{}', 'failed', 9, NOW(),
     'answered 404', NOW()),
    (gen_random_uuid(), 'L2', '2026-01-21T10:30:00Z', '{}', '{}', 'waiting', 1, NOW() + INTERVAL '9 min',
     'answered 500', NOW() - INTERVAL '1 min'),
    (gen_random_uuid(), 'L3', NOW(), '{}', NULL, 'delivered', 1, NOW(), NULL, NOW());
"""


def run(url: str, statement: str) -> list[asyncpg.Record]:
    async def go() -> list[asyncpg.Record]:
        conn = await asyncpg.connect(url)
        try:
            if "TRUNCATE" in statement:
                await conn.execute(statement)
                return []
            return await conn.fetch(statement)
        finally:
            await conn.close()

    return asyncio.run(go())


@pytest.fixture
def c2s(redis_url: str, database_url: str):
    asyncio.run(migrate(database_url))
    run(database_url, ROWS)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd("c2s:{0}:forwards", {"id": ONE})

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
        return run_c2s(*arguments, env=env | {"FORWARD_URL": "https://hook.example/s3cret"})

    return call


def test_how_forwarding_stands(c2s) -> None:
    """Counts by state, what is still in Redis, the oldest that waits and the last error; exit code 1."""
    done = c2s("forwards", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert {n: found[n] for n in ("forwarding", "in_redis", "waiting", "failed", "delivered")} == {
        "forwarding": True, "in_redis": 1, "waiting": 1, "failed": 1, "delivered": 1,
    }  # fmt: skip
    assert found["oldest"].startswith("2026-01-21T10:30:00")
    assert found["last_error"] == "answered 404"
    table = c2s("forwards").stdout
    assert "answered 404" in table
    assert "s3cret" not in table + done.stdout


def test_trying_again(c2s, database_url: str) -> None:
    """One by its id, or all that is not delivered; a wrong id is wrong use."""
    due = "SELECT lead_id FROM forwards WHERE state = 'waiting' AND due_at <= NOW() ORDER BY lead_id"
    assert c2s("forwards", "retry", "nonsense").returncode == 2
    assert c2s("forwards", "retry", ONE).stdout == "1 due now\n"
    assert [row[0] for row in run(database_url, due)] == ["L1"]
    assert c2s("forwards", "retry").stdout == "1 due now\n"
    assert [row[0] for row in run(database_url, due)] == ["L1", "L2"]
    assert c2s("forwards").returncode == 0
