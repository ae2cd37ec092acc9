"""EmbeddedRedis on a real redis-server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis

from ops.dev.errors import DevServerError
from ops.dev.keeper import keep_running
from ops.dev.ports import is_free
from ops.dev.redis_server import EmbeddedRedis
from ops.supervise.supervisor import ServiceEvent, ServiceExited, ServiceStarted

KILL_WAIT_S = 10.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "data") as running:
        yield running


def put(server: EmbeddedRedis, key: str, value: str) -> None:
    with Redis.from_url(server.url) as client:
        client.set(key, value)


def get(server: EmbeddedRedis, key: str) -> bytes | None:
    with Redis.from_url(server.url) as client:
        value = client.get(key)
    assert value is None or isinstance(value, bytes)
    return value


def test_stop_and_start_keep_data_and_port(server: EmbeddedRedis) -> None:
    """A stopped server frees its port; started again it has the same port and the same data."""
    put(server, "k", "v")
    url = server.url
    server.stop()
    assert is_free(server.port)
    assert not server.running
    server.start()
    assert (server.url, get(server, "k")) == (url, b"v")


def test_restart_gives_a_new_process(server: EmbeddedRedis) -> None:
    """A restart is another process with the same data."""
    put(server, "k", "v")
    before = server.pid
    server.restart()
    assert server.pid != before
    assert get(server, "k") == b"v"


def test_a_killed_server_keeps_what_it_wrote(server: EmbeddedRedis) -> None:
    """SIGKILL loses no write that was answered (this does not test fsync: the page cache survives)."""
    put(server, "k", "v")
    server.kill()
    assert is_free(server.port)
    server.start()
    assert get(server, "k") == b"v"


def test_a_cut_append_only_file_loads_up_to_the_cut(server: EmbeddedRedis) -> None:
    """A command that was written half is dropped, everything before it is kept."""
    put(server, "first", "1")
    put(server, "second", "2")
    server.kill()
    aof = server.data_dir / "appendonly.aof"
    aof.write_bytes(aof.read_bytes()[:-5])
    server.start()
    assert (get(server, "first"), get(server, "second")) == (b"1", None)


def test_it_never_evicts(server: EmbeddedRedis) -> None:
    """A full Redis refuses writes instead of forgetting webhooks."""
    with Redis.from_url(server.url) as client:
        assert client.info("memory")["maxmemory_policy"] == "noeviction"


def test_two_directories_run_side_by_side(server: EmbeddedRedis, tmp_path: Path) -> None:
    """Servers with different directories do not see each other."""
    with EmbeddedRedis(tmp_path / "other") as other:
        put(server, "k", "one")
        put(other, "k", "two")
        assert (get(server, "k"), get(other, "k")) == (b"one", b"two")


def test_a_second_start_on_the_same_directory_fails(server: EmbeddedRedis) -> None:
    """The second start says which directory is in use, and does the first server no harm."""
    put(server, "k", "v")
    with pytest.raises(DevServerError, match=r"data is in use by process \d+"):
        EmbeddedRedis(server.data_dir).start()
    assert get(server, "k") == b"v"


def test_a_taken_port_is_told_with_the_log(server: EmbeddedRedis, tmp_path: Path) -> None:
    """A server that cannot start is not mistaken for the one that holds its port; its log is shown."""
    with pytest.raises(DevServerError, match="Address already in use"):
        EmbeddedRedis(tmp_path / "other", port=server.port).start()


def test_a_server_killed_from_outside_can_be_started_again(server: EmbeddedRedis) -> None:
    """A death is noticed, and start brings the data back."""
    put(server, "k", "v")
    process = psutil.Process(server.pid)
    process.kill()
    psutil.wait_procs([process], timeout=KILL_WAIT_S)
    assert not server.running
    server.start()
    assert get(server, "k") == b"v"


async def test_keep_running_restarts_a_killed_server(server: EmbeddedRedis) -> None:
    """A kept server comes back by itself, with its data; once told to stop it is left alone."""
    put(server, "k", "v")
    events: asyncio.Queue[ServiceEvent] = asyncio.Queue()
    stopping = asyncio.Event()
    keeper = asyncio.create_task(keep_running(server, stopping, events.put_nowait))
    pid = server.pid
    psutil.Process(pid).kill()
    async with asyncio.timeout(KILL_WAIT_S):
        assert await events.get() == ServiceExited("redis", pid, -9, 0.0)
        assert await events.get() == ServiceStarted("redis", server.pid, 1)
        stopping.set()
        await keeper
    assert get(server, "k") == b"v"
