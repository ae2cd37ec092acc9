"""Redis and Postgres behind proxies, started again when they are killed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.proxy import LOOPBACK, Proxy
from ops.dev.keeper import keep_running
from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis
from ops.dev.server import EmbeddedServer
from ops.supervise.restarts import RestartPolicy
from ops.supervise.supervisor import ServiceEvent, ServiceStarted
from ops.together import end_all

_SOON = RestartPolicy(first_wait_s=0.2, cap_s=1.0)


@dataclass
class Server:
    """An embedded server, its proxy, and when it was away.

    Attributes:
        outages: from when until when (epoch seconds) nobody could use it.
    """

    embedded: EmbeddedServer
    proxy: Proxy
    outages: list[list[float]] = field(default_factory=list)

    def away(self) -> None:
        """Note that it is away from now on."""
        if not self.outages or len(self.outages[-1]) == 2:
            self.outages.append([time.time()])

    def back(self) -> None:
        """Note that it is back."""
        if self.outages and len(self.outages[-1]) == 1:
            self.outages[-1].append(time.time())

    def heard(self, event: ServiceEvent) -> None:
        """Follow its keeper."""
        if isinstance(event, ServiceStarted):
            self.back()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[dict[str, Server], dict[str, str]]]:
    """Both servers by name, and the settings that lead to them through their proxies."""
    redis, postgres = EmbeddedRedis(folder / "redis"), EmbeddedPostgres(folder / "postgres", fsync=False)
    found = {s.name: Server(s, Proxy(s.port)) for s in (redis, postgres)}
    never = asyncio.Event()
    keepers: set[asyncio.Task[None]] = set()
    try:
        for server in found.values():
            await asyncio.to_thread(server.embedded.start)
            keepers.add(asyncio.create_task(keep_running(server.embedded, never, server.heard, _SOON)))
        ports = {name: await server.proxy.start() for name, server in found.items()}
        yield (
            found,
            {
                "REDIS_URL": f"redis://{LOOPBACK}:{ports['redis']}/0",
                "DATABASE_URL": f"postgresql://postgres@{LOOPBACK}:{ports['postgres']}/postgres",
            },
        )
    finally:
        never.set()
        await asyncio.wait(keepers, timeout=30)
        await end_all(keepers)
        for server in found.values():
            await server.proxy.stop()
            await asyncio.to_thread(server.embedded.stop)
