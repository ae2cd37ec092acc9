"""Several doors on one port, for machines with several cores: ``python -m ingress --workers N``.

This process only starts them, starts again what dies, and passes a stop on. Each worker is a whole door of
its own that listens on the same port (SO_REUSEPORT): the kernel spreads connections over them, so a worker
that is gone takes no new ones with it. They share nothing but Redis and Postgres, as doors on several
machines do; what a setting allows *per ingress process* each of them allows.

The port is held here too, though nothing listens on that socket: so it cannot be lost while every worker is
down, and ``PORT=0`` means one port for all. Only processes of the same user can join it.

Metrics: one scrape of the shared port would reach any one of them, so there is none there. The first worker
serves ``/metrics`` on METRICS_PORT, the next on the port after it, and so on.
"""

import asyncio
import os
import socket
import sys

import structlog

from ops.settings import Settings
from ops.supervise.service import ServiceSpec
from ops.supervise.supervisor import ServiceEvent, ServiceExited, Supervisor
from schema.errors import SettingsError

log = structlog.get_logger()

_MARGIN_S = 1.5  # on top of each worker's own deadline; less than `c2s run` gives us
# What a worker must not find in its environment: it gets its own, and `X` beside `X_FILE` is refused.
_OURS = frozenset(
    {"INGRESS_WORKERS", "INGRESS_WORKERS_FILE", "PORT_FILE", "METRICS_PORT_FILE", "INSTANCE_FILE"}
)


def specs(settings: Settings, port: int) -> list[ServiceSpec]:
    """The workers: names, ports and places in the log of their own."""
    found = []
    for n in range(settings.ingress_workers):
        name = f"{settings.instance}-{n + 1}"
        env = {
            "INGRESS_WORKERS": "1",
            "INGRESS_REUSE_PORT": "true",
            "INSTANCE": name,
            "PORT": str(port),
            "METRICS_PORT": str(settings.metrics_port + n if settings.metrics_port else 0),
        }
        found.append(ServiceSpec(name, (sys.executable, "-m", "ingress"), env, shares_output=True))
    return found


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the workers until ``stop``.

    Raises:
        SettingsError: the port cannot be had, or a worker refuses its settings.
    """
    for name in [key for key in os.environ if key.upper() in _OURS]:
        del os.environ[name]
    with _held(settings.host, settings.port) as held:
        supervisor = Supervisor(
            None,
            on_event=_tell,
            stop_deadline_s=settings.shutdown_deadline_secs + _MARGIN_S,
            all_at_once=True,
        )
        async with supervisor:
            halt = await supervisor.run_until(stop, specs(settings, held.getsockname()[1]))
    if halt is not None:
        raise SettingsError(f"worker {halt.name} refuses its settings; its reason stands above")


def _held(host: str, port: int) -> socket.socket:
    """A socket that has the port and does not listen."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as error:
        held.close()
        raise SettingsError(f"PORT: {port} cannot be opened: {type(error).__name__}") from None
    return held


def _tell(event: ServiceEvent) -> None:
    if isinstance(event, ServiceExited):
        log.warning(
            "worker.ended", worker=event.name, exit_code=event.exit_code, restart_in_s=event.restart_in_s
        )
    else:
        log.info("worker.started", worker=event.name, pid=event.pid, restarts=event.restarts)
