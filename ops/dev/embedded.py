"""The embedded servers of `c2s up`: those that the environment does not name."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops.dev.errors import DevServerError
from ops.dev.keeper import keep_running
from ops.dev.plan import is_given, text_of
from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis
from ops.dev.server import EmbeddedServer
from ops.settings import Settings
from ops.supervise.supervisor import ServiceEvent
from ops.together import together


class Embedded:
    """Redis and PostgreSQL in the data directory, each only where no URL is given.

    Args:
        data_dir: each server gets a directory of its own in it.
        settings: ``redis_url`` and ``database_url``, if given, name servers that are not ours.
        on_event: called for every end and restart.
    """

    def __init__(self, data_dir: Path, settings: Settings, on_event: Callable[[ServiceEvent], None]) -> None:
        self._servers: list[EmbeddedServer] = []
        self._on_event = on_event
        self.redis_url = text_of(settings, "redis_url")
        self.database_url = text_of(settings, "database_url")
        if not is_given(settings, "redis_url"):
            redis = EmbeddedRedis(data_dir / "redis")
            self._servers.append(redis)
            self.redis_url = redis.url
        if not is_given(settings, "database_url"):
            postgres = EmbeddedPostgres(data_dir / "postgres")
            self._servers.append(postgres)
            self.database_url = postgres.url

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the servers that run right now."""
        found = {}
        for server in self._servers:
            with suppress(DevServerError):  # it is being restarted
                found[server.name] = server.pid
        return found

    async def start(self, say: Callable[[str], None]) -> None:
        """Start them side by side.

        Raises:
            DevServerError: one could not be started; the text holds the end of its log.
        """
        if self._servers:
            say(f"starting {' and '.join(server.name for server in self._servers)}")
        results = await asyncio.gather(
            *(asyncio.to_thread(server.start) for server in self._servers), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def keep(self) -> None:
        """Start again whatever dies, until cancelled."""
        never = asyncio.Event()
        if self._servers:
            await together(*(keep_running(server, never, self._on_event) for server in self._servers))

    async def stop(self) -> None:
        """Stop them side by side, in good order.

        Raises:
            DevServerError: some process of a server is still there.
        """
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self._servers))

    def kill(self) -> None:
        """End them at once; a `stop` that is under way then finds them gone."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
