"""The system under chaos: `c2s up` in a process of its own, and the hands that hurt it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

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
}
START_DEADLINE_S = 90.0


@dataclass
class System:
    """A running `c2s up`."""

    process: asyncio.subprocess.Process
    ready_file: Path
    http: aiohttp.ClientSession

    @property
    def ready(self) -> dict:
        return json.loads(self.ready_file.read_text())

    def hurt(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a service; False where it is not running just now."""
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
    with (data_dir / "up.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from ops.cli import main; main()",
            *words,
            env={**clean, **FAST, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        try:
            await _ready(process, ready_file)
            async with aiohttp.ClientSession() as http:
                yield System(process, ready_file, http)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            async with asyncio.timeout(60):
                await process.communicate()


async def _ready(process: asyncio.subprocess.Process, ready_file: Path) -> None:
    async with asyncio.timeout(START_DEADLINE_S):
        async for line in process.stdout:
            if b"Ready." in line:
                break
    if not ready_file.exists():
        raise RuntimeError(f"c2s up did not become ready (exit code {process.returncode})")
