"""What clients send to a Redis, counted with MONITOR as it is billed: a script is one command.

The statistics of Redis 6.2 count the commands inside of scripts as well; MONITOR says which those are.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import get_args
from urllib.parse import urlsplit

import psutil

from schema.scripts import ScriptName, script

_SCRIPTS = {script(name).sha1: name for name in get_args(ScriptName)}


class Monitor:
    """Commands by the port they came from, and by name; scripts by theirs."""

    def __init__(self) -> None:
        self.by_port: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def clear(self) -> None:
        self.by_port.clear()

    @property
    def names(self) -> Counter[str]:
        """How often each command was sent, by anybody."""
        return sum(self.by_port.values(), Counter())

    def of(self, pids: Iterable[int]) -> Counter[str]:
        """What these processes sent over the connections that they have now."""
        found: Counter[str] = Counter()
        for pid in pids:
            for connection in psutil.Process(pid).net_connections("tcp"):
                found += self.by_port.get(connection.laddr.port, Counter())
        return found

    def heard(self, line: bytes) -> None:
        place, _, rest = line.partition(b"] ")
        if b"[" not in place or place.endswith(b" lua"):
            return
        words = rest.split(b'"')[1:4:2]
        name = words[0].decode().upper()
        called = _SCRIPTS.get(words[-1].decode(errors="replace"), name)
        self.by_port[int(place.rpartition(b":")[2])][called] += 1


@asynccontextmanager
async def monitoring(url: str) -> AsyncIterator[Monitor]:
    """A monitor that hears all that is sent from now on."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=2**24)
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    monitor = Monitor()

    async def listen() -> None:
        while line := await reader.readline():
            monitor.heard(line)

    task = asyncio.create_task(listen())
    try:
        yield monitor
    finally:
        task.cancel()
        writer.close()
