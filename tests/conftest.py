"""Real servers for every test: one Redis and one PostgreSQL per run, emptied or made anew as asked.

A test that kills a server makes its own (`EmbeddedRedis(tmp_path)`), so that the others keep theirs.
"""

import secrets
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest
import redis
from support_chromium import CHROMIUM, MISSING

from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis

pytest_plugins = ["support_engine", "support_record"]

# Timings are no result of ours: a busy machine must not fail a property.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The run's Redis; its content is whatever the last test left: use `redis_url` for an empty one."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The run's PostgreSQL, without fsync; use `database_url` for a database of one's own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), fsync=False)
    try:
        with server:
            yield server
    finally:
        server.delete()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """URL of an empty Redis, emptied anew for each test."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="module")
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """URL of an empty database of this test module's own (UTF8, locale C), dropped after it."""
    name = f"t_{secrets.token_hex(6)}"
    _psql(postgres_server, f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres_server.url.rpartition("/")[0] + f"/{name}"
    _psql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _psql(server: EmbeddedPostgres, statement: str) -> None:
    # psql, not a driver: works in synchronous fixtures, whatever event loop is running.
    subprocess.run(
        [server.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, server.url],
        check=True,
        timeout=60,
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what could not run here."""
    if not CHROMIUM:
        terminalreporter.section("browser tests", red=True, bold=True)
        terminalreporter.write_line(MISSING, red=True, bold=True)
