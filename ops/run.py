"""``python -m ops.run``: ingress, processors and projector on one small machine, for `c2s run`.

Every service is a process of its own (`ops.supervise`): one that dies is started again, one that refuses its
settings ends everything with exit code 2. SIGTERM stops the door first, so that what it took is still worked
off as far as the deadline allows. This process loads no library of ours or of others beyond the standard one:
on a machine of 256 MB each service needs the room.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from ops.supervise.restarts import WRONG_SETTINGS
from ops.supervise.service import ServiceSpec
from ops.supervise.supervisor import ServiceEvent, ServiceExited, Supervisor

_DEADLINE_S = 25.0  # the default of SHUTDOWN_DEADLINE_SECS
_MARGIN_S = 3.0


def specs(environ: Mapping[str, str], processors: int) -> list[ServiceSpec]:
    """What to start, in order; stopping goes in reverse, so the door comes last.

    Each process that serves /metrics needs a port of its own: they count on from METRICS_PORT, at the end
    those of several ingress workers. So does the name of each: it counts on from INSTANCE.
    """
    names = ["projector", *(f"processor-{n + 1}" for n in range(processors)), "ingress"]
    modules = {"projector": "projections", "ingress": "ingress"}
    port = int(environ.get("METRICS_PORT") or 0)
    found = []
    for number, name in enumerate(names):
        env = {"METRICS_PORT": str(port + number)} if port else {}
        if environ.get("INSTANCE"):
            env["INSTANCE"] = f"{environ['INSTANCE']}-{name}"
        found.append(ServiceSpec(name, (sys.executable, "-m", modules.get(name, "processor")), env))
    return found


async def supervise(services: list[ServiceSpec], deadline_s: float) -> int:
    """Run them until a signal; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(None, on_line=_say, on_event=_tell, stop_deadline_s=deadline_s)
    async with supervisor:
        halt = await supervisor.run_until(stop, services)
    if halt is not None:
        sys.stderr.write(f"error: {halt}\n")
        return WRONG_SETTINGS
    return 0


def _say(_name: str, line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tell(event: ServiceEvent) -> None:
    if isinstance(event, ServiceExited) and event.restart_in_s is not None:
        sys.stderr.write(
            f"{event.name} (process {event.pid}) ended with code {event.exit_code}; "
            f"starting it again in {event.restart_in_s:g} s\n"
        )


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="c2s run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processors", type=int, default=1)
    parser.add_argument("--no-migrate", action="store_true")
    words = parser.parse_args(arguments)
    if words.processors < 1:
        parser.error("--processors must be at least 1")
    try:
        deadline_s = float(os.environ.get("SHUTDOWN_DEADLINE_SECS") or _DEADLINE_S) + _MARGIN_S
        services = specs(os.environ, words.processors)
    except ValueError:
        parser.error("SHUTDOWN_DEADLINE_SECS and METRICS_PORT must be numbers")
    if not words.no_migrate:
        done = subprocess.run([sys.executable, "-m", "ops.cli", "migrate"], check=False)
        if done.returncode:
            return done.returncode
    return asyncio.run(supervise(services, deadline_s))


if __name__ == "__main__":
    sys.exit(main())
