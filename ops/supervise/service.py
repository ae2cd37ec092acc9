"""One run of one service: a child process, its output line by line, its end."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ops.dev.errors import DevServerError
from ops.supervise.children import kill_group, reap_group, spawn, wait_unreaped

_CHUNK_BYTES = 65_536
_DRAIN_DEADLINE_S = 2.0  # for the rest of the output after the end: a stray grandchild may hold the pipe

LineHandler = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What to run.

    Attributes:
        name: shown in logs, file names and ``C2S_SERVICE_NAME``; unique in a supervisor.
        argv: program and arguments.
        env: added to our environment, and stronger than it.
        shares_output: it writes to our standard output itself; nothing of it is read here or kept.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    shares_output: bool = False


class ServiceRun:
    """A started service. Make it inside a running event loop; `wait` must be awaited to the end.

    Args:
        spec: what to run.
        log_path: file that gets every line, appended; None for none.
        on_line: called with (name, line) for every line, in the event loop.

    Raises:
        DevServerError: the program cannot be executed.
    """

    def __init__(self, spec: ServiceSpec, log_path: Path | None, on_line: LineHandler) -> None:
        self.spec = spec
        self._on_line = on_line
        self._rest = b""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._ended: asyncio.Future[int] = loop.create_future()
        self._drained: asyncio.Future[None] = loop.create_future()
        self._log: IO[bytes] | None = log_path.open("ab", buffering=0) if log_path else None
        try:
            self._child, self._pipe = _start(spec)
        except OSError as error:
            self._close_log()
            raise DevServerError(f"service {spec.name} could not be started: {error}") from error
        if self._pipe is None:
            self._drained.set_result(None)
        else:
            loop.add_reader(self._pipe, self._on_readable)
        threading.Thread(target=self._watch, name=f"watch-{spec.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id; also the id of its process group and session."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether its end has not been noticed yet."""
        return not self._ended.done()

    def terminate(self) -> None:
        """Ask it to stop in good order (SIGTERM)."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)  # not Popen's: that one reaps on the side

    def kill(self) -> None:
        """SIGKILL it and everything in its process group."""
        if self.alive:
            kill_group(self._child)

    async def reaped(self) -> None:
        """Return once the process has ended; its output may not be read to the end."""
        await asyncio.shield(self._ended)

    async def wait(self) -> int:
        """Exit code (negative: the signal), once it has ended and its output is read.

        Raises:
            Exception: whatever the line handler raised.
        """
        either: set[asyncio.Future[Any]] = {self._ended, self._drained}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._drained.done():
            self._drained.result()
        code = await asyncio.shield(self._ended)
        await asyncio.wait({self._drained}, timeout=_DRAIN_DEADLINE_S)
        self._close()
        self._drained.result()
        return code

    def _watch(self) -> None:
        wait_unreaped(self._child)
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._on_ended)

    def _on_ended(self) -> None:
        # Reaped here, in the loop, where signals are sent too: none can go to a stranger's process.
        self._ended.set_result(reap_group(self._child))

    def _on_readable(self) -> None:
        assert self._pipe is not None  # noqa: S101 -- narrows for the type checker
        try:
            chunk = os.read(self._pipe, _CHUNK_BYTES)
            self._take(chunk)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 -- raised by `wait`
            self._close(error)
            return
        if not chunk:
            self._close()

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if self._rest and (not chunk or len(self._rest) > _CHUNK_BYTES):
            lines.append(self._rest)  # the last line has no end, or it is longer than any line should be
            self._rest = b""
        for line in lines:
            if self._log is not None:
                self._log.write(line + b"\n")
            self._on_line(self.spec.name, line.decode("utf-8", "replace").rstrip("\r"))

    def _close(self, error: Exception | None = None) -> None:
        if self._drained.done() or self._pipe is None:
            return
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._close_log()
        if error is not None:
            self._drained.set_exception(error)
        else:
            self._drained.set_result(None)

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()


def _start(spec: ServiceSpec) -> tuple[subprocess.Popen[bytes], int | None]:
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **spec.env, "C2S_SERVICE_NAME": spec.name}
    if spec.shares_output:
        return spawn(spec.argv, output=sys.stdout.fileno(), env=env), None
    ours, theirs = os.pipe()
    try:
        child = spawn(spec.argv, output=theirs, env=env)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    return child, ours
