"""Who may use a data directory: one owner at a time, and nobody before the last run's processes are gone.

Two files, locked with `flock(2)`, which the kernel releases when the last process holding it ends:

* ``owner.lock`` is held by the process that runs the server. A second start finds it held and fails.
* ``alive.lock`` is inherited by the server and everything it forks. While it is held, some process of an
  earlier run still works on the files, even if its owner was SIGKILLed: wait for it.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.dev.errors import DevServerError

_POLL_S = 0.02


class OwnerLock:
    """Exclusive use of a data directory by this object."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "owner.lock"
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the directory.

        Raises:
            DevServerError: another start has it; the text names the directory and the process.
        """
        if self._fd is not None:
            raise DevServerError(f"{self._path.parent} is already in use by this very object")
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise DevServerError(
                f"{self._path.parent} is in use by process {holder}: "
                "stop that one, or choose another data directory"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the directory up; does nothing when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take_alive_lock(data_dir: Path, deadline_s: float) -> int:
    """The descriptor of ``alive.lock``, locked, to be handed to the server and then closed by us.

    Args:
        data_dir: the server's data directory.
        deadline_s: seconds to wait for the processes of an earlier run.

    Raises:
        DevServerError: a process of an earlier run is still there after the deadline.
    """
    fd = os.open(data_dir / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + deadline_s
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        if time.monotonic() > until:
            os.close(fd)
            raise DevServerError(
                f"a process of an earlier run still uses {data_dir} after {deadline_s:g} s: "
                "end it and try again"
            )
        time.sleep(_POLL_S)


def wait_until_unused(data_dir: Path, deadline_s: float) -> None:
    """Return once no process of a server run in this directory is left.

    Raises:
        DevServerError: one is still there after the deadline.
    """
    os.close(take_alive_lock(data_dir, deadline_s))
