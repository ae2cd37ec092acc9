"""The supervisor with real processes: small Python services that do one thing each."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ops.dev.errors import DevServerError
from ops.supervise.restarts import RestartPolicy
from ops.supervise.service import ServiceSpec
from ops.supervise.supervisor import ServiceEvent, ServiceExited, ServiceStarted, Supervisor

WAIT_S = 20.0
SLEEPER = "import signal, os; print(os.environ['C2S_SERVICE_NAME'], 'runs'); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('stubborn runs')\n"
    "while True: signal.pause()"
)
WITH_CHILD = (
    "import subprocess, sys, signal\n"
    "print(subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']).pid); signal.pause()"
)
REFUSING = "import sys; print('PORT: not a number'); sys.exit(2)"
CRASHING = "import sys; sys.exit(1)"


def service(name: str, code: str = SLEEPER) -> ServiceSpec:
    return ServiceSpec(name, (sys.executable, "-c", code))


class Watch:
    """Collects what a supervisor tells, to be awaited."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[ServiceEvent] = asyncio.Queue()
        self.lines: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def supervisor(self, log_dir: Path, *, stop_deadline_s: float = WAIT_S) -> Supervisor:
        return Supervisor(
            log_dir,
            on_line=lambda name, line: self.lines.put_nowait((name, line)),
            on_event=self.events.put_nowait,
            stop_deadline_s=stop_deadline_s,
            policy=RestartPolicy(first_wait_s=0.01, cap_s=0.02),
        )

    async def event(self) -> ServiceEvent:
        async with asyncio.timeout(WAIT_S):
            return await self.events.get()

    async def line(self) -> tuple[str, str]:
        async with asyncio.timeout(WAIT_S):
            return await self.lines.get()


async def test_a_killed_service_is_restarted(tmp_path: Path) -> None:
    """A service killed from outside comes back at once, as a new process under its name."""
    watch = Watch()
    async with watch.supervisor(tmp_path) as supervisor:
        pid = await supervisor.start(service("processor-1"))
        assert await watch.event() == ServiceStarted("processor-1", pid, 0)
        psutil.Process(pid).kill()
        assert await watch.event() == ServiceExited("processor-1", pid, -signal.SIGKILL, 0.0)
        started = await watch.event()
        assert started == ServiceStarted("processor-1", supervisor.pids["processor-1"], 1)
        assert supervisor.pids["processor-1"] != pid
        assert psutil.Process(supervisor.pids["processor-1"]).is_running()


async def test_a_crashing_service_is_restarted_with_growing_waits(tmp_path: Path) -> None:
    """The first restart is immediate, the next ones wait up to the cap."""
    watch = Watch()
    waits: list[float | None] = []
    async with watch.supervisor(tmp_path) as supervisor:
        await supervisor.start(service("crashing", CRASHING))
        while len(waits) < 4:
            event = await watch.event()
            if isinstance(event, ServiceExited):
                waits.append(event.restart_in_s)
    assert waits == [0.0, 0.01, 0.02, 0.02]


async def test_wrong_settings_stop_everything(tmp_path: Path) -> None:
    """Exit code 2 is not retried: all services are stopped, and the report holds the last words."""
    supervisor = Watch().supervisor(tmp_path)
    await supervisor.start(service("ingress"))
    healthy = psutil.Process(supervisor.pids["ingress"])
    await supervisor.start(service("projector", REFUSING))
    async with asyncio.timeout(WAIT_S):
        halt = await supervisor.wait()
    assert halt is not None
    assert (halt.name, halt.exit_code, halt.last_lines) == ("projector", 2, ("PORT: not a number",))
    assert "wrong settings" in str(halt)
    assert supervisor.pids == {}
    assert not healthy.is_running()
    with pytest.raises(DevServerError, match="being stopped"):
        await supervisor.start(service("late"))


async def test_services_stop_in_reverse_order(tmp_path: Path) -> None:
    """The last started stops first, each one before the next is asked; nobody is restarted."""
    watch = Watch()
    supervisor = watch.supervisor(tmp_path)
    names = ["sandbox", "ingress", "processor-1", "projector"]
    for name in names:
        await supervisor.start(service(name))
        assert await watch.event() == ServiceStarted(name, supervisor.pids[name], 0)
    family = [psutil.Process(pid) for pid in supervisor.pids.values()]
    await supervisor.stop()
    ended = [await watch.event() for _ in names]
    assert [event.name for event in ended] == list(reversed(names))
    assert all(isinstance(event, ServiceExited) and event.restart_in_s is None for event in ended)
    assert not any(process.is_running() for process in family)
    assert await supervisor.wait() is None


async def test_a_service_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """After the deadline comes SIGKILL."""
    watch = Watch()
    supervisor = watch.supervisor(tmp_path, stop_deadline_s=0.1)
    await supervisor.start(service("stubborn", STUBBORN))
    await watch.event()
    assert await watch.line() == ("stubborn", "stubborn runs")
    await supervisor.stop()
    event = await watch.event()
    assert isinstance(event, ServiceExited)
    assert event.exit_code == -signal.SIGKILL


async def test_what_a_service_started_ends_with_it(tmp_path: Path) -> None:
    """A child of a service does not outlive it."""
    watch = Watch()
    supervisor = watch.supervisor(tmp_path)
    await supervisor.start(service("parent", WITH_CHILD))
    grandchild = psutil.Process(int((await watch.line())[1]))
    await supervisor.stop()
    _, alive = psutil.wait_procs([grandchild], timeout=WAIT_S)
    assert alive == []


async def test_output_goes_to_the_handler_and_a_log_file(tmp_path: Path) -> None:
    """Every line reaches the handler and NAME.log, standard error too, a last one without end as well."""
    watch = Watch()
    long_line = "x" * 200_000
    code = (
        "import sys, signal, os\n"
        "print('c\\u00e3o'); print('oops', file=sys.stderr); sys.stdout.write('no end'); sys.exit(0)"
    )
    async with watch.supervisor(tmp_path / "logs") as supervisor:
        await supervisor.start(ServiceSpec("talker", (sys.executable, "-c", code), {"PYTHONUTF8": "1"}))
        assert [await watch.line() for _ in range(3)] == [
            ("talker", "cão"),
            ("talker", "oops"),
            ("talker", "no end"),
        ]
        await supervisor.start(service("shouter", "import signal; print('x' * 200_000); signal.pause()"))
        heard = ""
        while len(heard) < len(long_line):
            name, line = await watch.line()
            heard += line if name == "shouter" else ""
    assert heard == long_line
    assert (tmp_path / "logs" / "talker.log").read_text(encoding="utf-8").startswith("cão\noops\nno end\n")


async def test_a_failing_line_handler_stops_everything_and_is_told(tmp_path: Path) -> None:
    """An error of ours is not swallowed, and leaves no process behind."""

    def handler(name: str, line: str) -> None:
        raise ValueError(line)

    supervisor = Supervisor(tmp_path, on_line=handler)
    await supervisor.start(service("quiet", "import signal; signal.pause()"))
    await supervisor.start(service("loud"))
    family = [psutil.Process(pid) for pid in supervisor.pids.values()]
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ValueError, match="loud runs"):
            await supervisor.wait()
    assert not any(process.is_running() for process in family)


async def test_a_missing_program_is_told(tmp_path: Path) -> None:
    """A service that cannot be executed is an error at start that names it."""
    async with Watch().supervisor(tmp_path) as supervisor:
        with pytest.raises(DevServerError, match="service ghost could not be started"):
            await supervisor.start(ServiceSpec("ghost", ("/nonexistent/program",)))
        assert supervisor.pids == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGKILL to the supervisor ends its services, its Redis and its PostgreSQL with all its backends."""
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, driver, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) > 4
        process.kill()
        process.wait(WAIT_S)
        _, alive = psutil.wait_procs(family, timeout=WAIT_S)
        assert alive == []
    finally:
        process.kill()
        subprocess.run([sys.executable, "-c", CLEANER, str(tmp_path)], check=True, timeout=60)


DRIVER = """
import asyncio, sys
from pathlib import Path
from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis
from ops.supervise.service import ServiceSpec
from ops.supervise.supervisor import Supervisor

async def main(base):
    redis = await asyncio.to_thread(EmbeddedRedis(base / "redis").start)
    postgres = await asyncio.to_thread(EmbeddedPostgres(base / "postgres", fsync=False).start)
    started = asyncio.Event()
    supervisor = Supervisor(base / "logs", on_line=lambda name, line: started.set())
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); signal.pause()"
    await supervisor.start(ServiceSpec("one", (sys.executable, "-c", code)))
    await supervisor.start(ServiceSpec("two", (sys.executable, "-c", code)))
    await started.wait()
    print("ready", flush=True)
    await supervisor.wait()

asyncio.run(main(Path(sys.argv[1])))
"""
CLEANER = """
import sys
from pathlib import Path
from ops.dev.postgres_server import EmbeddedPostgres

EmbeddedPostgres(Path(sys.argv[1]) / "postgres").delete()
"""
