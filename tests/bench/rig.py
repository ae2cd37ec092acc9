"""What every scenario stands on: real servers, services in processes of their own, each on its core.

What is measured has core 0 to itself; the load, Redis and Postgres share core 1 (where there are two). Of a
whole fleet only the processors have core 0, which they fill; the rest of it shares core 1, or has core 2.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from ops.append import Appender
from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis
from ops.redis import command_client
from schema.calls import Appending
from schema.events import WebhookAccepted
from schema.identity import CREATE, dedup_key, event_id_of
from schema.keys import GROUP, Keys

SECRET = "bench"
KEYS = Keys(0)
NO_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
_READY_S = 30.0


CORES = range(os.cpu_count() or 1)
BESIDE = 2 if len(CORES) > 2 else 1


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several."""
    if len(CORES) > 1:
        os.sched_setaffinity(pid, {CORES[core]})


@contextmanager
def floating(pid: int) -> Iterator[None]:
    """Let a process of the load's core run on any."""
    os.sched_setaffinity(pid, set(CORES))
    try:
        yield
    finally:
        pin(pid, 1)


@contextmanager
def redis_server(folder: Path) -> Iterator[EmbeddedRedis]:
    """A Redis on the load's core."""
    with EmbeddedRedis(folder / "redis") as server:
        pin(server.pid, 1)
        yield server


@contextmanager
def postgres_server(folder: Path, **settings: str) -> Iterator[EmbeddedPostgres]:
    """A Postgres (without fsync: the disk is not what is measured) on the load's core."""
    server = EmbeddedPostgres(folder / "postgres", fsync=False, settings=settings)
    try:
        with server:
            for process in (psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)):
                pin(process.pid, 1)
            yield server
    finally:
        server.delete()


@contextmanager
def python(*words: str, core: int = 0, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process on a core of its own, its output thrown away; ended with the block."""
    made = subprocess.Popen(
        [sys.executable, *words],
        env={**environment(), **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pin(made.pid, core)
    try:
        yield made
    finally:
        made.terminate()
        made.wait(30)


def told(*words: str, core: int = 0, **env: str) -> bytes:
    """The last line that a Python process says on its standard error."""
    made = subprocess.Popen(
        [sys.executable, *words],
        env={**environment(), **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    pin(made.pid, core)
    said = made.communicate()[1]
    if made.returncode:
        raise RuntimeError(f"{words} ended with {made.returncode}: {said[-2000:].decode()}")
    return said.strip().splitlines()[-1]


def environment() -> Mapping[str, str]:
    """What a process of ours needs to run at all; nothing of the caller's settings."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV")
    mine = {name: os.environ[name] for name in kept if name in os.environ}
    return {**mine, "PYTHONPATH": os.pathsep.join(["tests", "."])}


def answers(port: int) -> None:
    """Until something listens."""
    import socket  # noqa: PLC0415 -- nothing else here needs it

    until = time.monotonic() + _READY_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def rss_mb(pid: int) -> float:
    """Resident memory in megabytes."""
    return round(psutil.Process(pid).memory_info().rss / 1e6, 1)


def cpu_s(pid: int) -> float:
    """Processor time that a process has spent: what others do to the machine hardly shows in it."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def family_cpu_s(pid: int) -> float:
    """The same of a process and of all that it started, those that have ended included."""
    found = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found += times.user + times.system + times.children_user + times.children_system
    return found


def ran_ns(pid: int) -> int:
    """Nanoseconds that a process has run: exact, but of its first thread alone."""
    return _schedstat(pid)[0]


def waited_ns(pid: int) -> int:
    """Nanoseconds that its first thread could have run, but others had the core."""
    return _schedstat(pid)[1]


def _schedstat(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()]


def body(lead: str, size: int = 200, action: str = CREATE) -> bytes:
    """A webhook's body of so many bytes."""
    head = f'{{"lead_id":"{lead}","action":"{action}","pad":"'
    return (head + "x" * (size - 2 - len(head)) + '"}').encode()


async def fill(url: str, count: int, run: str) -> None:
    """An emptied Redis with so many accepted webhooks, each of a lead of its own."""
    client = command_client(url)
    await client.flushall()
    await client.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    appender = Appender(client, partitions=1, dedup_ttl_s=86_400, instance="bench")
    now = datetime.now(UTC)
    await appender.append_all([item(f"bench-{run}-{n}", now) for n in range(count)])
    await client.aclose()


def item(lead: str, now: datetime) -> Appending:
    """A webhook as the door stores it."""
    key = dedup_key(lead, CREATE, "v")
    event = WebhookAccepted(
        event_id=event_id_of(key),
        lead_id=lead,
        action=CREATE,
        version="v",
        source="webhook",
        received_at=now,
        payload=body(lead).decode(),
    )
    return Appending(event, key)
