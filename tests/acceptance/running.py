"""A `c2s up` as a subprocess, and waits that watch its streams and its output instead of the clock."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import redis
from support_forks import run_c2s

from ops.dev.postgres_home import wheel_install

ROOT = Path(__file__).parents[2]
C2S = Path(sys.executable).with_name("c2s")
START_S = 90.0
END_S = 45.0
T = TypeVar("T")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without any setting, so that a developer's shell changes nothing."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(extra or {})


class Up:
    """A running `c2s up`; leaving the block ends it by force if it still runs."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data_dir = folder / ".c2s"
        self.ready_file = folder / "ready.json"
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._family: set[psutil.Process] = set()
        words = ["--data-dir", str(self.data_dir), "--ready-file", str(self.ready_file), *arguments]
        self.process = subprocess.Popen(
            [C2S, "up", *words],
            cwd=folder,
            env=clean_environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()  # the kernel ends its children with it
                self.process.wait()

    def until(self, words: str, seconds: float = START_S) -> str:
        """The next line of output that contains ``words``."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {words!r} within {seconds:g} s in:\n{self.output}") from None
            if line is None:
                raise AssertionError(f"it ended before it said {words!r}:\n{self.output}")
            if words in line:
                return line

    def until_ready(self) -> dict[str, Any]:
        """Wait for the start; the note."""
        self.until("Ready.")
        self._family = set(psutil.Process(self.process.pid).children(recursive=True))
        return self.note

    @property
    def note(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return found

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def left_over(self) -> list[psutil.Process]:
        """Processes of it that still run."""
        named = set()
        for pid in self.note["pids"].values() if self.ready_file.exists() else ():
            if psutil.pid_exists(pid):
                named.add(psutil.Process(pid))
        return [p for p in self._family | named if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    def c2s(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A CLI command from another shell in the same directory."""
        return run_c2s(*arguments, cwd=self.folder)

    def psql(self, sql: str) -> str:
        """The wheel's psql on the running database; rows by line, columns by ``|``."""
        psql = [wheel_install() / "bin" / "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*psql, self.note["database_url"]],
            input=sql,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.strip()

    def sandbox(self, path: str = "state", order: object = None) -> dict[str, Any]:
        """A control endpoint of the sandbox."""
        data = json.dumps(order).encode() if order is not None else None
        url = f"{self.note['sandbox_url']}/_sandbox/{path}"
        with urllib.request.urlopen(url, data, timeout=60) as answer:  # noqa: S310 -- our own loopback URL
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def messages(self, lead_id: str) -> list[str]:
        """What the sandbox's C2S got for a lead."""
        return [message["body"] for message in self.sandbox()["messages"].get(lead_id, [])]

    def eventually(self, look: Callable[[], T], holds: Callable[[T], bool], seconds: float = 60.0) -> T:
        """What ``look`` finds once it holds; it looks again whenever an outcome is appended.

        The record follows the outcomes within moments, so between two outcomes it looks four times a second.
        """
        deadline = time.monotonic() + seconds
        with redis.Redis.from_url(self.note["redis_url"]) as client:
            last: Any = "$"
            while True:
                found = look()
                if holds(found):
                    return found
                assert time.monotonic() < deadline, f"still {found!r} after {seconds:g} s:\n{self.output}"
                entries: Any = client.xread({"c2s:{0}:outcomes": last}, block=250)
                last = entries[0][1][-1][0] if entries else last

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._queue.put(line)
        self._queue.put(None)
