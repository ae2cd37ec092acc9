"""What the embedded servers have in common: a child process, its data directory, its log, its life.

The methods block (a start takes a second or two). They may be called from any thread, so a coroutine
wraps them in ``asyncio.to_thread``.
"""

import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ops.dev.errors import DevServerError
from ops.dev.locks import OwnerLock, take_alive_lock, wait_until_unused
from ops.dev.ports import free_port
from ops.supervise.children import kill_group

_POLL_S = 0.02
_TAIL_BYTES = 4_000


class EmbeddedServer(ABC):
    """A server from a wheel, run as a plain child process on 127.0.0.1.

    The port is chosen once and kept, so that clients find the server again after a restart.

    Attributes:
        data_dir: where it keeps its data and its log; made when missing, kept when stopped.
    """

    name: str
    start_deadline_s = 60.0
    orphans_deadline_s = 15.0
    # What to send to stop it, and how many seconds to wait before the next one; SIGKILL comes last.
    stop_steps: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 10.0),)

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._port = port
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = OwnerLock(self.data_dir)
        self._calls = threading.RLock()
        self._log_start = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects to."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data directory ready for the server."""

    @abstractmethod
    def _spawn(self, log: IO[bytes], alive_fd: int) -> subprocess.Popen[bytes]:
        """Start the process; it must inherit ``alive_fd``."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Whether the process with this id (and no other server) takes commands."""

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1."""
        if self._port is None:
            self._port = free_port()
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises:
            DevServerError: it is not running.
        """
        if self._child is None:
            raise DevServerError(f"{self.name} in {self.data_dir} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process exists right now."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended if it ended by itself (negative: by which signal), else None."""
        return self._child.poll() if self._child is not None else None

    @property
    def log_path(self) -> Path:
        """File with everything the server printed, all runs."""
        return self.data_dir / f"{self.name}.log"

    def start(self) -> Self:
        """Start the server and wait until it takes commands; the object itself, for chaining.

        Raises:
            DevServerError: the directory is in use, or the server ended or was not ready in time; the
                text holds the end of its log.
        """
        with self._calls:
            if self.running:
                raise DevServerError(f"{self.name} in {self.data_dir} is already running")
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._owner.release()  # still held if the server died by itself
            self._owner.acquire()
            try:
                self._launch()
            except BaseException:
                self._abandon()
                raise
            return self

    def stop(self) -> None:
        """Stop in good order, by force if it takes too long; fine to call when it is not running.

        Raises:
            DevServerError: some process of the server is still there.
        """
        with self._calls:
            for number, wait_s in self.stop_steps:
                if not self.running:
                    break
                self._signal(number)
                self._wait(wait_s)
            self._finish()

    def kill(self) -> None:
        """SIGKILL, as a crash would end it: no flush, no farewell.

        Raises:
            DevServerError: some process of the server is still there.
        """
        with self._calls:
            self._finish()

    def restart(self) -> Self:
        """Stop if it runs, then start on the same port with the same data.

        Raises:
            DevServerError: as for `start` and `stop`.
        """
        with self._calls:
            self.stop()
            return self.start()

    def log_tail(self) -> str:
        """The end of what the server printed since its last start."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return log.read().decode("utf-8", "replace").strip()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        alive_fd = take_alive_lock(self.data_dir, self.orphans_deadline_s)
        try:
            self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
            self._prepare()
            with self.log_path.open("ab") as log:
                self._child = self._spawn(log, alive_fd)
        except OSError as error:
            raise DevServerError(f"{self.name} could not be started in {self.data_dir}: {error}") from error
        finally:
            os.close(alive_fd)
        self._await_ready(self._child)

    def _await_ready(self, child: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + self.start_deadline_s
        while not self._is_ready(child.pid):
            if child.poll() is not None:
                raise DevServerError(
                    f"{self.name} on port {self.port} ended with code {child.returncode} while starting. "
                    f"The end of {self.log_path}:\n{self.log_tail()}"
                )
            if time.monotonic() > until:
                raise DevServerError(
                    f"{self.name} on port {self.port} was not ready after {self.start_deadline_s:g} s. "
                    f"The end of {self.log_path}:\n{self.log_tail()}"
                )
            time.sleep(_POLL_S)

    def _abandon(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            kill_group(child)
            child.wait()
        self._owner.release()

    def _finish(self) -> None:
        child = self._child
        if child is None:
            self._owner.release()
            return
        if child.poll() is None:  # once reaped, its id may already lead a stranger's group
            kill_group(child)
            child.wait()
        self._child = None
        try:
            wait_until_unused(self.data_dir, self.orphans_deadline_s)
        finally:
            self._owner.release()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def _wait(self, seconds: float) -> None:
        if self._child is None:
            return
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return  # the next, harder step follows
