"""Keeps an embedded server running: restarts it, with its data and on its port, when it dies."""

import asyncio
import time
from collections.abc import Callable

from ops.dev.server import EmbeddedServer
from ops.supervise.restarts import RestartPolicy
from ops.supervise.supervisor import ServiceEvent, ServiceExited, ServiceStarted

_POLL_S = 0.1


async def keep_running(
    server: EmbeddedServer,
    stopping: asyncio.Event,
    on_event: Callable[[ServiceEvent], None] = lambda _event: None,
    policy: RestartPolicy | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Restart the started server whenever it dies, until ``stopping`` is set.

    To stop: set ``stopping``, wait for this coroutine to return, then stop the server. In another order
    the server could be started again after it was stopped.

    Args:
        server: a server that runs.
        stopping: set it to end this.
        on_event: called for every end and restart.
        policy: when to restart.
        clock: seconds, monotonic.

    Raises:
        DevServerError: the server cannot be started again; the text holds the end of its log.
    """
    policy = policy if policy is not None else RestartPolicy()
    restarts = deaths = 0
    started_at = clock()
    while not await _set_within(stopping, _POLL_S):
        if server.running:
            continue
        deaths = policy.deaths_in_row(deaths, clock() - started_at)
        wait_s = policy.wait_s(deaths)
        on_event(ServiceExited(server.name, server.pid, server.exit_code or 0, wait_s))
        if await _set_within(stopping, wait_s):
            return
        await asyncio.to_thread(server.start)
        started_at = clock()
        restarts += 1
        on_event(ServiceStarted(server.name, server.pid, restarts))


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
