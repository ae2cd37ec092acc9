"""Child processes that never outlive us.

Protocol: the kernel ends a child when its parent ends, however that happened (`prctl(2)`,
PR_SET_PDEATHSIG), so even a SIGKILLed supervisor leaves nothing behind. Three details make it right:

* the kernel forgets the request when a process changes its user, so it is made last, after the switch
  (`subprocess` runs `preexec_fn` after `user=`);
* the parent may already be gone when the request is made, so the child looks whether it still has its
  parent and leaves if not;
* "parent" means the *thread* that forked. All children are therefore forked by one daemon thread that
  lives as long as the process, so that any thread may start one.

Each child leads a session of its own: Ctrl-C in the terminal reaches only us, and we stop the children
in order. Elsewhere than on Linux there is no such request: children outlive a SIGKILLed parent there.
"""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ORPHANED = 70  # EX_SOFTWARE; nobody is left to read it

_lock = threading.Lock()
_spawners: dict[int, "queue.SimpleQueue[_Job]"] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """A system account to run a child as; only root can switch."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class _Job:
    future: "Future[subprocess.Popen[bytes]]"
    fork: Callable[[], "subprocess.Popen[bytes]"]


def spawn(
    argv: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
    pass_fds: Sequence[int] = (),
    death_signal: signal.Signals = signal.SIGKILL,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that ends when this process ends; callable from any thread.

    Args:
        argv: program and arguments; no shell is involved.
        output: file or descriptor (or subprocess.PIPE) that takes stdout and stderr together.
        env: the whole environment; None inherits ours.
        cwd: working directory; None inherits ours.
        account: run as this account (we must be root).
        pass_fds: descriptors the child keeps.
        death_signal: what the kernel sends the child when this process ends.
        umask: file mode mask; -1 inherits ours.

    Raises:
        OSError: the program cannot be executed, or the account cannot be switched to.
    """

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            pass_fds=tuple(pass_fds),
            umask=umask,
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid(), death_signal),  # noqa: PLW1509 -- see module docstring
        )

    future: Future[subprocess.Popen[bytes]] = Future()
    _spawner().put(_Job(future, fork))
    return future.result()


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """SIGKILL whatever is left of a child's process group, its own children included."""
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, group of zombies only
        os.killpg(leader.pid, signal.SIGKILL)


def wait_unreaped(child: subprocess.Popen[bytes]) -> None:
    """Block until the child has ended, leaving its entry in the process table for `reap_group`.

    While the entry is there, nobody else can be given its id, so a signal to it hits no stranger.
    """
    if sys.platform == "linux":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:
        child.wait()


def reap_group(child: subprocess.Popen[bytes]) -> int:
    """Exit code of a child that has ended (negative: the signal); SIGKILLs what is left of its group."""
    kill_group(child)
    return child.wait()


def _spawner() -> "queue.SimpleQueue[_Job]":
    # Keyed by process: a forked copy of us has no copy of the thread.
    with _lock:
        jobs = _spawners.get(os.getpid())
        if jobs is None:
            jobs = _spawners[os.getpid()] = queue.SimpleQueue()
            threading.Thread(target=_fork_forever, args=(jobs,), name="spawner", daemon=True).start()
        return jobs


def _fork_forever(jobs: "queue.SimpleQueue[_Job]") -> None:
    while True:
        job = jobs.get()
        try:
            job.future.set_result(job.fork())
        except BaseException as error:  # noqa: BLE001 -- handed to the caller, who raises it
            job.future.set_exception(error)


def _die_with_parent(parent_pid: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: nothing but the call after the fork
    number = int(death_signal)

    def request() -> None:
        if prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0 or os.getppid() != parent_pid:
            os._exit(_ORPHANED)

    return request
