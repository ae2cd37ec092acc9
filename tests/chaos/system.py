"""The system under chaos: `c2s up`, its servers behind proxies, and the hands that hurt it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from chaos.servers import Server, serving

# Short times, so that a minute of chaos holds many takeovers; the relations are those of the defaults.
FAST = {
    "LEASE_TTL_SECS": "3",
    "HEARTBEAT_SECS": "0.8",
    "RECLAIM_IDLE_SECS": "3.2",
    "HTTP_TIMEOUT_SECS": "1.5",
    "WORK_API_TIMEOUT_SECS": "2",
    "BACKOFF_BASE_SECS": "0.3",
    "BACKOFF_MAX_SECS": "3",
    "MAX_ATTEMPTS": "20",
    "BREAKER_OPEN_SECS": "0.5",
    "BREAKER_OPEN_MAX_SECS": "2",
    "BLOCK_SECS": "5",
    "SHUTDOWN_DEADLINE_SECS": "8",
    "C2S_RATE_LIMIT": "0",
    "DIRETRIX_RATE_LIMIT": "0",
    "WORK_API_RATE_LIMIT": "0",
    "TRIM_KEEP": "1000",
}
LEASE_TTL_S = float(FAST["LEASE_TTL_SECS"])
START_DEADLINE_S = 120.0
# A storm kills far more often than a service that cannot run would die: its waits must not grow to 15 s.
_UP = """
from ops.supervise.restarts import RestartPolicy
RestartPolicy.__init__.__defaults__ = (0.2, 1.0, 30.0)
from ops.cli import main
main()
"""


@dataclass
class System:
    """A running `c2s up` and its servers; ``printed`` is what it wrote to its standard output."""

    process: asyncio.subprocess.Process
    ready_file: Path
    http: aiohttp.ClientSession
    servers: dict[str, Server]
    printed: list[bytes] = field(default_factory=list)

    @property
    def ready(self) -> dict:
        return json.loads(self.ready_file.read_text())

    def hurt(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a service or a server; False where it is not running just now."""
        server = self.servers.get(name)
        if server is not None:
            pid = server.embedded.pid if server.embedded.running else None
        else:
            pid = self.ready["pids"].get(name)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    async def fault(self, **spec: object) -> None:
        with suppress(aiohttp.ClientError):
            async with self.http.post(self.ready["sandbox_url"] + "/_sandbox/faults", json=spec) as answer:
                await answer.read()

    async def sandbox(self) -> dict:
        async with self.http.get(self.ready["sandbox_url"] + "/_sandbox/state") as answer:
            return await answer.json()


@asynccontextmanager
async def running(data_dir: Path, processors: int = 3, **env: str) -> AsyncIterator[System]:
    """`c2s up` with fast times, ready to be hurt; stopped as Ctrl-C would at the end."""
    ready_file = data_dir / "ready.json"
    data_dir.mkdir(parents=True, exist_ok=True)
    words = ["up", "--port", "0", "--no-traffic", "--processors", str(processors)]
    words += ["--data-dir", str(data_dir / "data"), "--ready-file", str(ready_file)]
    clean = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "TMPDIR") if k in os.environ}
    async with serving(data_dir / "servers") as (servers, urls):
        with (data_dir / "up.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _UP,
                *words,
                env={**clean, **FAST, **urls, **env},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        told, printed = asyncio.Event(), list[bytes]()
        listening = asyncio.create_task(_listen(process, told, printed))
        try:
            await _ready(process, told)
            async with aiohttp.ClientSession() as http:
                yield System(process, ready_file, http, servers, printed)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            async with asyncio.timeout(60):
                await process.wait()
            await listening


async def _listen(process: asyncio.subprocess.Process, told: asyncio.Event, printed: list[bytes]) -> None:
    """Read what it prints to the end: a pipe that nobody reads would hold it up."""
    async for line in process.stdout:
        printed.append(line)
        if b"Ready." in line:
            told.set()


async def _ready(process: asyncio.subprocess.Process, told: asyncio.Event) -> None:
    waits = [asyncio.create_task(told.wait()), asyncio.create_task(process.wait())]
    await asyncio.wait(waits, timeout=START_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not told.is_set():
        raise RuntimeError(f"c2s up did not become ready (exit code {process.returncode})")
