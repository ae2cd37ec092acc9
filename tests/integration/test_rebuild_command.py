"""`c2s rebuild` as an operator runs it, and the walls around it."""

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from support_facts import World

from ops.migrate import migrate
from ops.redis import Client, blocking_client
from projections.projector import Projector, read_models
from projections.rebuild.confine import places_of
from schema.codec import PlainCodec
from schema.events import encode

C2S = Path(sys.executable).with_name("c2s")
INTRUDER = """
import asyncio, sys
from projections.rebuild import __main__ as command
from projections.model import ReadModel

async def call_home(conn, facts):
    await asyncio.open_connection("127.0.0.1", PORT)

real = command.models
command.models = lambda codec: (*real(codec), ReadModel((), call_home))
sys.exit(command.main())
"""


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(database_url)
    conn = await asyncpg.connect(database_url)
    yield conn
    await conn.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    for stream, entry_id, event in World(5).entries:
        await client.xadd(stream, encode(event), id=entry_id)
    yield client
    await client.aclose()


def command(database_url: str, redis_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PATH": "/usr/bin:/bin"}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


async def test_the_command_tells_by_its_exit_code(db, redis, database_url, redis_url):
    """0 where nothing differs, 1 with the differences printed, 0 after a swap; 2 for a wrong word."""

    def c2s(*words: str) -> subprocess.CompletedProcess[str]:
        return command(database_url, redis_url, str(C2S), "rebuild", *words)

    made = Projector(db, redis, partitions=1, batch=100, models=read_models(PlainCodec()))
    while await made.poll_once(0):
        pass
    fine = c2s("--check", "--json")
    assert (fine.returncode, fine.stderr) == (0, "")
    found = json.loads(fine.stdout)
    assert (found["differences"], found["entries"]) == (0, len(World(5).entries))
    await db.execute("UPDATE webhook_events SET status = 'lost'")
    wrong = c2s("--check")
    assert wrong.returncode == 1
    assert "status: live lost, rebuilt" in wrong.stdout
    swapped = c2s()
    assert swapped.returncode == 0
    assert "swapped" in swapped.stdout
    assert c2s("--check").returncode == 0
    assert c2s("--chek").returncode == 2


async def test_a_read_model_that_calls_out_is_refused(db, redis, database_url, redis_url):
    """The rebuild's process can reach Redis and Postgres only; all is as before."""
    made = Projector(db, redis, partitions=1, batch=100, models=read_models(PlainCodec()))
    while await made.poll_once(0):
        pass
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.setblocking(False)
        port = str(outside.getsockname()[1])
        done = command(database_url, redis_url, sys.executable, "-c", INTRUDER.replace("PORT", port))
        assert done.returncode == 1
        assert "Redis and Postgres only" in done.stderr
        with pytest.raises(BlockingIOError):
            outside.accept()
    assert await db.fetchval("SELECT to_regnamespace('rebuild') IS NULL")


def test_the_places_of_urls():
    """Hosts with and without ports, several hosts, Unix sockets of both kinds."""
    assert places_of(["redis://u:p@127.0.0.1/0", "postgresql://u:p@127.0.0.1:1,127.0.0.2:2/x"]) == {
        ("127.0.0.1", 6379),
        ("127.0.0.1", 1),
        ("127.0.0.2", 2),
    }
    assert places_of(["unix:///run/redis.sock", "postgresql:///x?host=/run/pg"]) == {
        "/run/redis.sock",
        "/run/pg/.s.PGSQL.5432",
    }
