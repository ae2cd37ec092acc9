"""The door as a process of its own, with all that it writes kept in a file."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from support_ingress import NOWHERE, PREVIOUS_TOKEN, SECRET, TOKEN

HOME = Path(__file__).parents[1]


@dataclass(frozen=True)
class DoorProcess:
    """A running ``python -m ingress``."""

    pid: int
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """Everything it has written so far, to standard output and standard error."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self) -> list[str]:
        """Names of its log lines; fails on a line that is none."""
        return [line["event"] for line in lines_of(self.output())]

    def most_rss_mb(self) -> float:
        """The most resident memory that it has had so far."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    async def raw(self, *parts: bytes, seconds: float = 20.0) -> bytes:
        """Write bytes to a socket of its own; all that comes until the door closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            async with asyncio.timeout(seconds):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                while part := await reader.read(65536):
                    received += part
        except ConnectionError:
            return received  # it closed with bytes of ours unread
        else:
            return received
        finally:
            writer.close()


def lines_of(output: str) -> list[dict[str, Any]]:
    """JSON log lines."""
    return [orjson.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def door_process(
    log: Path, redis_url: str, database_url: str = NOWHERE, **more: str
) -> AsyncIterator[DoorProcess]:
    """A door that is killed at the end unless it has ended by then."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    ours = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LOG_FORMAT": "json",
        "C2S_WEBHOOK_SECRET": SECRET,
        "C2S_WEBHOOK_TOKEN": TOKEN,
        "C2S_WEBHOOK_TOKEN_PREVIOUS": PREVIOUS_TOKEN,
    }
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ingress", env=kept | ours | more, cwd=HOME, stdout=out, stderr=out
        )
    try:
        yield DoorProcess(process.pid, await _port(process, log), log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _port(process: asyncio.subprocess.Process, log: Path) -> int:
    async with asyncio.timeout(60):
        while True:
            text = log.read_text(encoding="utf-8")  # noqa: ASYNC240 -- a small file of our own
            for line in text.splitlines(keepends=True):
                if '"ingress.listening"' in line and line.endswith("\n"):
                    return int(orjson.loads(line)["port"])
            assert process.returncode is None, text
            await asyncio.sleep(0.02)
