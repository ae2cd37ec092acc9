"""One storm: a seeded schedule of faults over a stream of webhooks, then calm, then the invariants."""

import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from redis.exceptions import RedisError

from chaos import facts, schedule
from chaos.invariants import verdicts
from chaos.schedule import Blow
from chaos.sender import Sender
from chaos.system import LEASE_TTL_S, System, running
from chaos.takeover import takeovers

CALM_DEADLINE_S = 150.0
TAKEOVER_BOUND_S = LEASE_TTL_S + 5.0
REBUILT = "Rebuilt tables equal the live ones (`c2s rebuild --check`)."


@dataclass
class Report:
    """What was done and what came of it."""

    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    kills: list[tuple[float, str]] = field(default_factory=list)
    sender: Sender | None = None
    verdicts: dict[str, list[str]] = field(default_factory=dict)
    takeovers: list[float] = field(default_factory=list)
    calm_s: float = 0.0
    dropped: int = 0
    archived: int = 0
    trimmed: int = 0
    rows: Counter[str] = field(default_factory=Counter)

    @property
    def broken(self) -> list[str]:
        """The sentences of all broken invariants."""
        return [f"{name} {what}" for name, found in self.verdicts.items() for what in found]

    def __str__(self) -> str:
        sender = self.sender
        assert sender is not None
        lines = [
            f"seed {self.seed}: {len(sender.leads)} leads, {sender.webhooks} webhooks sent",
            f"  {len(sender.accepted)} events accepted, {sender.refused} webhooks given up unanswered",
            f"  kills: {len(self.kills)}",
            f"  injected: {dict(sorted(self.injected.items()))}; replies dropped: {self.dropped}",
            f"  answers: {dict(sorted(sender.answers.items()))}",
            f"  rows: {dict(sorted(self.rows.items()))}",
            f"  {self.archived} stream entries archived, {self.trimmed} of them trimmed from Redis",
            f"  takeover after kills: {_percentiles(self.takeovers)}; bound of p99 {TAKEOVER_BOUND_S:g} s",
            "    (to the lead's next attempt, from the kill, or from the return of a server away meanwhile)",
            f"  at rest {self.calm_s:.1f} s after the storm",
        ]
        for name, found in self.verdicts.items():
            lines.append(f"  {'BROKEN' if found else 'holds '}  {name}")
            lines += [f"            {what}" for what in found[:20]]
            lines += [f"            ... and {len(found) - 20} more"] if len(found) > 20 else []
        return "\n".join(lines)


def _percentiles(found: list[float]) -> str:
    if not found:
        return "none"
    p50, p99 = (found[min(len(found) - 1, int(len(found) * share))] for share in (0.5, 0.99))
    return f"{len(found)}, p50 {p50:.1f} s, p99 {p99:.1f} s, max {found[-1]:.1f} s"


async def storm(data_dir: Path, *, seed: int, seconds: float, leads: int) -> Report:
    """Run one storm."""
    report = Report(seed)
    rng = random.Random(seed)
    blows, sending = schedule.blows(random.Random(rng.random()), seconds), random.Random(rng.random())
    run = f"{seed}-{sending.getrandbits(32):08x}"
    async with running(data_dir) as system:
        report.sender = Sender(system)
        hurting = asyncio.create_task(_hurt(system, blows, report, random.Random(seed)))
        await report.sender.send(sending, run, leads, seconds)
        await hurting
        await _calm(system, report)
        await _judge(system, report)
    return report


async def _hurt(system: System, blows: list[Blow], report: Report, rng: random.Random) -> None:
    begun = time.monotonic()
    later: set[asyncio.Task[None]] = set()
    for blow in blows:
        await asyncio.sleep(max(0.0, begun + blow.at - time.monotonic()))
        undo = await _strike(system, blow, report, rng)
        if undo:
            later.add(asyncio.create_task(_wake(system, blow, undo)))
    await asyncio.gather(*later)


async def _strike(system: System, blow: Blow, report: Report, rng: random.Random) -> float:
    """Do it; seconds until it is to be undone, 0 for never."""
    server = system.servers.get(blow.target)
    name, undo = f"{blow.kind} {blow.target}", 0.0
    match blow.kind:
        case "stop":
            undo = schedule.STOP_S if system.hurt(blow.target, signal.SIGSTOP) else 0.0
            name = "SIGSTOP past the lease" if undo else "no one to stop"
        case "api":
            name = f"{blow.detail} {blow.target}"
            await system.fault(
                target=blow.target, kind=blow.detail, status=500, times=blow.times, seconds=1.0, retry_after=1
            )
        case "drop reply" if server:
            server.proxy.drop_replies(blow.times, blow.detail.encode())
        case "cut all" if server:
            server.proxy.cut_all()
        case "cut one" if server:
            server.proxy.cut_one(rng)
        case "hold" if server:
            server.away()
            server.proxy.hold()
            undo = schedule.HOLD_S
        case "away" if server:
            server.away()
            server.proxy.refuse()
            undo = schedule.AWAY_S
        case _:
            name = _kill(system, blow.target, report)
    report.injected[name] += 1
    return undo


def _kill(system: System, name: str, report: Report) -> str:
    server = system.servers.get(name)
    if not system.hurt(name, signal.SIGKILL):
        return "no one to kill"
    report.kills.append((time.time(), name))
    if server:
        server.away()
    return f"SIGKILL {name.partition('-')[0]}"


async def _wake(system: System, blow: Blow, undo: float) -> None:
    await asyncio.sleep(undo)
    if blow.kind == "stop":
        system.hurt(blow.target, signal.SIGCONT)
        return
    server = system.servers[blow.target]
    server.proxy.flow()
    if server.embedded.running:
        server.back()


async def _calm(system: System, report: Report) -> None:
    """No more faults; until everything is at rest, or the deadline."""
    await system.fault(clear=True)
    for name in schedule.PROCESSORS:
        system.hurt(name, signal.SIGCONT)
    for server in system.servers.values():
        server.proxy.calm()
    begun = time.monotonic()
    waits, ready = "not looked yet", system.ready
    assert report.sender is not None
    while waits and time.monotonic() - begun < CALM_DEADLINE_S:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError):
            waits = await facts.unsettled(ready["database_url"], ready["redis_url"], report.sender.accepted)
        await asyncio.sleep(0.5)
    report.calm_s = time.monotonic() - begun
    if waits:
        report.verdicts["The system comes to rest."] = [f"not within {CALM_DEADLINE_S:g} s: {waits}"]


async def _judge(system: System, report: Report) -> None:
    ready, sender = system.ready, report.sender
    assert sender is not None
    messages = (await system.sandbox())["messages"]
    found = await facts.gather(ready["database_url"], ready["redis_url"], messages)
    report.verdicts |= verdicts(found, sender.leads, LEASE_TTL_S)
    report.verdicts[REBUILT] = await facts.rebuilt_differs(ready["environment"])
    outages = [o for server in system.servers.values() for o in server.outages if len(o) == 2]
    report.takeovers = takeovers(report.kills, found.log, outages)
    report.dropped = sum(server.proxy.dropped for server in system.servers.values())
    report.archived = len(found.entries) + len(found.log)
    report.trimmed = report.archived - found.kept
    report.rows = Counter(
        f"{row['status']} {row['result'] or row['error_code']}" for row in found.rows.values()
    )
