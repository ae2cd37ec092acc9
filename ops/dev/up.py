"""`c2s up`: the whole system on this machine, from servers to sample leads, and nothing left of it after.

Order of starting: data directory locked, Redis and PostgreSQL, migrations, sandbox, ingress, processors,
projector; once all are ready, the note (`ops.dev.ready`). Stopping is the reverse. A service that dies is
started again; one that refuses its settings ends everything with exit code 2. The first signal asks for an
orderly end, the second for an immediate one.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.dev.credentials import credentials_for
from ops.dev.embedded import Embedded
from ops.dev.errors import DevServerError
from ops.dev.locks import OwnerLock
from ops.dev.plan import Plan, Ports
from ops.dev.ports import free_port, is_free
from ops.dev.readiness import Readiness, error_in
from ops.dev.ready import FILE_NAME, Ready, write_ready
from ops.dev.screen import Screen
from ops.dev.traffic import Ways, send_samples
from ops.follow import follow
from ops.migrate import migrate
from ops.settings import Settings
from ops.supervise.supervisor import ServiceEvent, ServiceExited, ServiceStarted, Supervisor
from ops.together import together, until
from schema.errors import SettingsError

DEFAULT_DATA_DIR = Path(".c2s")
DEFAULT_PORT = 8080
_STOP_MARGIN_S = 5.0


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line says.

    Attributes:
        port: the ingress's; None for 8080 or, if that is taken, a free one. 0 takes a free one.
        ready_file: where to write the note as well, or None.
    """

    port: int | None
    data_dir: Path
    processors: int
    traffic: bool
    ready_file: Path | None


def choose_port(asked: int | None, say: Callable[[str], None]) -> int:
    """The ingress's port.

    Raises:
        SettingsError: a port was asked for and something else listens on it.
    """
    if asked == 0:
        return free_port()
    if asked is not None:
        if not is_free(asked):
            raise SettingsError(
                f"PORT: port {asked} is taken; stop what listens there, or choose another --port"
            )
        return asked
    if is_free(DEFAULT_PORT):
        return DEFAULT_PORT
    port = free_port()
    say(f"port {DEFAULT_PORT} is taken, so the ingress listens on {port}")
    return port


async def run_up(options: UpOptions, settings: Settings, screen: Screen) -> None:
    """Run the whole system until a signal; returns when nothing of it is left.

    Raises:
        SettingsError: the asked-for port is taken, or a service refused its settings.
        LeadstreamError: a server could not be started, or the migrations failed.
    """
    async with _signals() as (stop, hurry):
        options.data_dir.mkdir(parents=True, exist_ok=True)
        with OwnerLock(options.data_dir):
            machine = Machine(options, settings, screen)
            try:
                await until(stop, machine.run())
            finally:
                screen.leaving = True
                await machine.end(hurry)


class Machine:
    """One run of the whole system."""

    def __init__(self, options: UpOptions, settings: Settings, screen: Screen) -> None:
        self._options = options
        self._settings = settings
        self._screen = screen
        self._data_dir = options.data_dir.absolute()
        self._notes = [p for p in (self._data_dir / FILE_NAME, options.ready_file) if p is not None]
        for note in self._notes:
            note.unlink(missing_ok=True)  # an earlier run's, which nobody took away
        asked = (
            settings.port if options.port is None and "port" in settings.model_fields_set else options.port
        )
        ports = Ports(choose_port(asked, screen.say), free_port())
        self._embedded = Embedded(self._data_dir, settings, self._on_event)
        self._plan = Plan(
            settings,
            credentials_for(self._data_dir, settings),
            ports,
            self._embedded.redis_url,
            self._embedded.database_url,
            options.processors,
        )
        self._readiness = Readiness(self._plan.probes(), self._plan.first_words())
        self._supervisor = Supervisor(
            self._data_dir / "logs",
            on_line=self._on_line,
            on_event=self._on_event,
            stop_deadline_s=settings.shutdown_deadline_secs + _STOP_MARGIN_S,
        )
        self._is_ready = False

    async def run(self) -> None:
        """Start everything and keep it running, without end."""
        await self._embedded.start(self._screen.say)
        self._screen.say("migrating the database")
        await migrate(self._plan.database_url)
        await together(self._embedded.keep(), self._halt(), self._serve())

    async def end(self, hurry: asyncio.Event) -> None:
        """Stop everything; what is still there when ``hurry`` is set is killed."""
        self._screen.say("stopping")
        if self._notes:
            self._notes[0].unlink(missing_ok=True)
        for stop in (self._supervisor.stop(), self._embedded.stop()):
            await self._hurried(stop, hurry)
        self._screen.say("everything is stopped")

    async def _hurried(self, stop: Coroutine[Any, Any, None], hurry: asyncio.Event) -> None:
        orderly = asyncio.create_task(stop)
        impatience = asyncio.create_task(hurry.wait())
        await asyncio.wait({orderly, impatience}, return_when=asyncio.FIRST_COMPLETED)
        impatience.cancel()
        if not orderly.done():
            orderly.cancel()
            with suppress(asyncio.CancelledError):
                await orderly
            self._embedded.kill()
        else:
            orderly.result()

    async def _serve(self) -> None:
        self._screen.say("starting the services")
        for spec in self._plan.services():
            await self._supervisor.start(spec)
        try:
            await self._readiness.wait()
        except DevServerError as error:
            raise DevServerError(f"{error}; see why in {self._data_dir / 'logs'}") from None
        self._is_ready = True
        self._write_notes()
        traffic = self._options.traffic and not self._plan.leaves_machine
        self._screen.ready(self._ready(), traffic=traffic)
        if self._options.traffic and not traffic:
            self._screen.say(
                "no sample leads: they are for the sandbox only, and a real API is set", "yellow"
            )
        work = [self._follow()]
        if traffic:
            ways = Ways(self._plan.sandbox_url, self._plan.webhook_url)
            work.append(send_samples(ways, self._screen.say))
        await together(*work)

    async def _follow(self) -> None:
        partitions = self._settings.partitions.served
        async for followed in follow(self._plan.redis_url, partitions, ("outcomes",)):
            self._screen.outcome(followed.event)

    async def _halt(self) -> None:
        halt = await self._supervisor.wait()
        if halt is not None:
            raise SettingsError(str(halt))

    def _on_line(self, name: str, line: str) -> None:
        self._readiness.heard(name, line)
        trouble = error_in(line)
        if trouble:
            self._screen.trouble(name, trouble)

    def _on_event(self, event: ServiceEvent) -> None:
        if self._is_ready:
            if isinstance(event, ServiceStarted):
                self._write_notes()
        elif isinstance(event, ServiceExited):
            self._readiness.died(event.name)
        self._screen.service(event)  # last: whoever reads this line finds the note up to date

    def _write_notes(self) -> None:
        for note in self._notes:
            write_ready(note, self._ready())

    def _ready(self) -> Ready:
        plan = self._plan
        return Ready(
            ingress_url=plan.ingress_url,
            webhook_url=plan.webhook_url,
            redis_url=plan.redis_url,
            database_url=plan.database_url,
            sandbox_url=plan.sandbox_url,
            webhook_secret=plan.credentials.webhook_secret,
            webhook_token=plan.credentials.webhook_token,
            admin_token=plan.credentials.admin_token,
            trigger_api_key=plan.credentials.trigger_api_key,
            data_dir=str(self._data_dir),
            log_dir=str(self._data_dir / "logs"),
            pid=os.getpid(),
            pids={**self._embedded.pids, **self._supervisor.pids},
            environment={**plan.whole_environment(), "WEBHOOK_URL": plan.webhook_url},
        )


@asynccontextmanager
async def _signals() -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: the first signal (Ctrl-C, SIGTERM, a closed terminal) sets one, the second the other."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in numbers:
        loop.add_signal_handler(number, asked)
    try:
        yield stop, hurry
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
