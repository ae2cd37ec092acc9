"""Redis commands: per webhook, one by one and saturated, and of idle instances per day.

Twice: of closes, which need nothing from outside (what the way through costs by itself), and of new leads
that are asked for outside in full (with turns of the budget, look-ups kept, steps recorded).

Counted with MONITOR: the statistics of Redis 6.2 count the commands inside of scripts as well, MONITOR says
which those are (`lua`). A script is one command, as it is billed.
"""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import psutil

from bench.fleet import Fleet, fleet, request, send
from bench.http_load import load
from schema.identity import CLOSE, CREATE
from schema.scripts import ScriptName, script

SPARSE = 20
SATURATED = 600
DAY_S = 86_400


_SCRIPTS = {script(name).sha1: name for name in get_args(ScriptName)}


class Monitor:
    """What clients send, by the port they send from."""

    def __init__(self) -> None:
        self.ports: Counter[int] = Counter()
        self.names: Counter[str] = Counter()

    def clear(self) -> None:
        self.ports.clear()
        self.names.clear()

    def heard(self, line: bytes) -> None:
        place, _, rest = line.partition(b"] ")
        if b"[" not in place or place.endswith(b" lua"):
            return
        self.ports[int(place.rpartition(b":")[2])] += 1
        words = rest.split(b'"')[1:4:2]
        name = words[0].decode().upper()
        self.names[_SCRIPTS.get(words[-1].decode(errors="replace"), name)] += 1


@asynccontextmanager
async def monitoring(url: str):
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


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Commands per webhook and per idle instance; ``count`` is for how many seconds nothing happens."""
    del rounds
    async with fleet(folder, 1) as made, monitoring(made.redis_url) as monitor:
        closes = await _measured(made, monitor, CLOSE, 1)
        creates = await _measured(made, monitor, CREATE, 1 + SPARSE + SATURATED)
        await asyncio.sleep(1)
        monitor.clear()
        await asyncio.sleep(count)
        idle, waiting = _by_process(made, monitor), dict(monitor.names)
    return {
        **{f"without outside calls: {name}": found for name, found in closes.items()},
        **{f"with all outside calls: {name}": found for name, found in creates.items()},
        **{f"idle {name}, commands per day": round(n / count * DAY_S) for name, n in idle.items()},
        "idle, measured over s": count,
        "by name, idle": str(waiting),
    }


async def _measured(made: Fleet, monitor: Monitor, action: str, ended: int) -> dict[str, object]:
    """Commands per webhook of one action; ``ended`` events are on record before."""
    monitor.clear()
    for number in range(SPARSE):
        await send(made.port, [request(f"sparse-{number}", action)])
        await made.ended(ended + number + 1, 30)
    sparse, names = monitor.ports.total(), dict(monitor.names)
    monitor.clear()
    await load(made.port, [request(f"many-{n}", action) for n in range(SATURATED)])
    await made.ended(ended + SPARSE + SATURATED, 240)
    return {
        "one by one, commands per webhook": round(sparse / SPARSE, 2),
        "saturated, commands per webhook": round(monitor.ports.total() / SATURATED, 3),
        "by name, one by one": str(names),
        "by name, saturated": str(dict(monitor.names)),
    }


def _by_process(made: Fleet, monitor: Monitor) -> dict[str, int]:
    found = {}
    for name, process in made.processes.items():
        ports = {c.laddr.port for c in psutil.Process(process.pid).net_connections("tcp")}
        found[name] = sum(n for port, n in monitor.ports.items() if port in ports)
    return found
