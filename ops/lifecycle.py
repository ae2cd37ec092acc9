"""Starting and stopping a service: stopping is an event, then a drain, then a deadline.

The order is: SIGTERM or SIGINT sets the stop event; the service stops taking work; work in flight finishes
or is left pending; whatever is still running at the deadline is cancelled. Exit code 0 for an asked-for end,
2 for wrong settings, 1 for anything else.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import setproctitle
import structlog
import uvloop

from ops import traces
from ops.log import setup_logs
from ops.settings import Role, Settings, load_settings
from schema.errors import LeadstreamError, SettingsError

log = structlog.get_logger()

EXIT_WRONG_SETTINGS = 2
_GC_THRESHOLD = 10_000

Service = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; a second signal changes nothing."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(name: str) -> None:
        if not stop.is_set():
            log.info("shutdown.asked", signal=name)
            stop.set()

    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, ask, sig.name)
    try:
        yield stop
    finally:
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sig)


def settle_gc() -> None:
    """Let the collector leave alone what was imported, and look for cycles less often.

    Requests and attempts make almost none, so every look is for nothing, and it costs a busy door 5 %.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 100)


def run_service(role: Role, service: Service) -> int:
    """Run a service from settings to exit code; the body of each ``python -m <package>``.

    Args:
        role: decides which settings are required, and the process title.
        service: gets the settings and the stop event; returns when it has drained.
    """
    try:
        settings = load_settings(role)
    except SettingsError as error:
        print(f"{role}: wrong settings, nothing was started:\n{error}", file=sys.stderr)  # noqa: T201 -- before logs
        return EXIT_WRONG_SETTINGS
    setproctitle.setproctitle(f"c2s-{role} {settings.instance}")
    setup_logs(settings.log_level, settings.log_format, service=role, instance=settings.instance)

    async def main() -> None:
        async with stop_on_signals() as stop:
            settle_gc()
            await service(settings, stop)

    try:
        traces.set_up(settings, role)
        uvloop.run(main())
    except SettingsError as error:
        # Wrong in a way that only its user can see, such as a secret that does not decode.
        log.error("service.wrong_settings", error=str(error))  # noqa: TRY400 -- its text says it all
        return EXIT_WRONG_SETTINGS
    except LeadstreamError as error:
        # The text is for people and says what to do; a traceback would bury it.
        log.error("service.failed", error=str(error), kind=type(error).__name__)  # noqa: TRY400
        return 1
    finally:
        traces.close()
    log.info("shutdown.drained")
    return 0


async def drain(tasks: set[asyncio.Task[Any]], deadline_s: float) -> int:
    """Wait for tasks until the deadline, then cancel the rest; the number cancelled."""
    if not tasks:
        return 0
    _, late = await asyncio.wait(tasks, timeout=deadline_s)
    for task in late:
        task.cancel()
    if late:
        await asyncio.gather(*late, return_exceptions=True)
    return len(late)


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Pause for ``seconds`` or until the stop event; True where it was the stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
