"""Runs the services of one machine: starts them in order, restarts what dies, stops all in reverse.

Protocol:

* A service that ends without having been asked is started again: at once the first time, then after
  growing waits (`RestartPolicy`). Exit code 0 counts as well: a service is not supposed to end.
* Exit code 2 means "wrong settings": starting again cannot help, so everything is stopped and `wait`
  tells why.
* Stopping goes in reverse order of starting, one at a time (or all at once, where no order matters): SIGTERM,
  a deadline, SIGKILL to the whole process group. Nothing is restarted once stopping has begun.
* If this process is SIGKILLed, the kernel kills the services (`ops.supervise.children`).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.dev.errors import DevServerError
from ops.supervise.restarts import WRONG_SETTINGS, RestartPolicy
from ops.supervise.service import LineHandler, ServiceRun, ServiceSpec

_LAST_LINES = 20
_AFTER_KILL_S = 10.0


@dataclass(frozen=True, slots=True)
class ServiceStarted:
    """A service runs; ``restarts`` counts the earlier starts of it."""

    name: str
    pid: int
    restarts: int


@dataclass(frozen=True, slots=True)
class ServiceExited:
    """A service ended (``exit_code`` negative: by that signal).

    ``restart_in_s`` is None when it will not be started again.
    """

    name: str
    pid: int
    exit_code: int
    restart_in_s: float | None


ServiceEvent = ServiceStarted | ServiceExited


@dataclass(frozen=True, slots=True)
class Halt:
    """Why everything was stopped without being asked."""

    name: str
    exit_code: int
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        words = "\n".join(self.last_lines)
        return (
            f"{self.name} ended with code {self.exit_code} (wrong settings), so everything was stopped. "
            f"Its last words:\n{words}"
        )


@dataclass(slots=True)
class _Service:
    spec: ServiceSpec
    run: ServiceRun
    started_at: float
    restarts: int = 0
    deaths_in_row: int = 0
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    keeper: "asyncio.Task[None] | None" = None


class Supervisor:
    """See the module's docstring. All methods belong to one event loop.

    Args:
        log_dir: each service's output goes to ``NAME.log`` in it, appended; None for nowhere.
        on_line: called with (name, line) for every line of output.
        on_event: called for every start and end.
        stop_deadline_s: seconds each service gets between SIGTERM and SIGKILL.
        all_at_once: stop the services together instead of in order.
        policy: when to restart.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        log_dir: Path | None,
        *,
        on_line: LineHandler = lambda _name, _line: None,
        on_event: Callable[[ServiceEvent], None] = lambda _event: None,
        stop_deadline_s: float = 10.0,
        all_at_once: bool = False,
        policy: RestartPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log_dir = log_dir
        self._on_line = on_line
        self._on_event = on_event
        self._stop_deadline_s = stop_deadline_s
        self._all_at_once = all_at_once
        self._policy = policy if policy is not None else RestartPolicy()
        self._clock = clock
        self._services: dict[str, _Service] = {}
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stop_turn = asyncio.Lock()
        self._halt: Halt | None = None
        self._failure: Exception | None = None
        self._own_stop: asyncio.Task[None] | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the services that run right now."""
        return {name: service.run.pid for name, service in self._services.items() if service.run.alive}

    async def start(self, spec: ServiceSpec) -> int:
        """Start a service and keep it running; its process id.

        Raises:
            DevServerError: its name is taken, the program cannot be executed, or we are stopping.
        """
        if self._stopping.is_set():
            raise DevServerError(f"service {spec.name} was not started: everything is being stopped")
        if spec.name in self._services:
            raise DevServerError(f"service {spec.name} runs already")
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
        service = _Service(spec, self._launch(spec), self._clock())
        self._services[spec.name] = service
        service.keeper = asyncio.create_task(self._keep(service), name=f"keep-{spec.name}")
        self._on_event(ServiceStarted(spec.name, service.run.pid, 0))
        return service.run.pid

    async def run_until(self, stop: asyncio.Event, services: Sequence[ServiceSpec]) -> Halt | None:
        """Start services, watch them until ``stop`` (or none can go on), and stop them; as `wait`.

        Use it inside ``async with``.
        """
        for spec in services:
            await self.start(spec)
        asked, ended = asyncio.create_task(stop.wait()), asyncio.create_task(self.wait())
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        await self.stop()
        return await ended

    async def wait(self) -> Halt | None:
        """Return once everything is stopped: None if that was asked for, else why.

        Raises:
            Exception: what a handler raised, or a restart; everything is stopped then, too.
        """
        await self._stopped.wait()
        if self._own_stop is not None:
            await self._own_stop
        if self._failure is not None:
            raise self._failure
        return self._halt

    async def stop(self) -> None:
        """Stop all services, the last started first; nothing is left running when it returns.

        Raises:
            DevServerError: a process did not even end on SIGKILL.
        """
        self._stopping.set()
        async with self._stop_turn:
            try:
                if self._all_at_once:
                    await asyncio.gather(*(self._end(service) for service in self._services.values()))
                for service in reversed(self._services.values()):
                    await self._end(service)
            finally:  # cancelled: no time for good order
                for service in self._services.values():
                    service.run.kill()
                self._stopped.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _launch(self, spec: ServiceSpec) -> ServiceRun:
        log_path = self._log_dir / f"{spec.name}.log" if self._log_dir is not None else None
        return ServiceRun(spec, log_path, self._take_line)

    def _take_line(self, name: str, line: str) -> None:
        service = self._services.get(name)
        if service is not None:
            service.last_lines.append(line)
        self._on_line(name, line)

    async def _keep(self, service: _Service) -> None:
        try:
            while await self._outlives_one_run(service):
                service.run = self._launch(service.spec)
                service.started_at = self._clock()
                service.restarts += 1
                self._on_event(ServiceStarted(service.spec.name, service.run.pid, service.restarts))
        except Exception as error:  # noqa: BLE001 -- raised by `wait`
            self._failure = self._failure or error
            self._stop_by_ourselves()
            service.run.kill()
            await service.run.reaped()

    async def _outlives_one_run(self, service: _Service) -> bool:
        """Wait for the run's end, and then for the moment to start the next; False: there is none."""
        code = await service.run.wait()
        wait_s = self._after_death(service, code)
        self._on_event(ServiceExited(service.spec.name, service.run.pid, code, wait_s))
        if wait_s is None:
            return False
        try:
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()
        except TimeoutError:
            return not self._stopping.is_set()
        return False

    def _after_death(self, service: _Service, code: int) -> float | None:
        if self._stopping.is_set():
            return None
        if code == WRONG_SETTINGS:
            self._halt = Halt(service.spec.name, code, tuple(service.last_lines))
            self._stop_by_ourselves()
            return None
        lived_s = self._clock() - service.started_at
        service.deaths_in_row = self._policy.deaths_in_row(service.deaths_in_row, lived_s)
        return self._policy.wait_s(service.deaths_in_row)

    def _stop_by_ourselves(self) -> None:
        self._stopping.set()
        if self._own_stop is None:
            self._own_stop = asyncio.create_task(self.stop(), name="supervisor-stop")

    async def _end(self, service: _Service) -> None:
        keeper = service.keeper
        if keeper is None:
            return
        service.run.terminate()
        await asyncio.wait({keeper}, timeout=self._stop_deadline_s)
        if not keeper.done():
            service.run.kill()
            await asyncio.wait({keeper}, timeout=_AFTER_KILL_S)
        if not keeper.done():
            raise DevServerError(
                f"service {service.spec.name} (process {service.run.pid}) did not end on SIGKILL"
            )
