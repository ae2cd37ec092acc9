"""One storm: a seeded schedule of faults over a stream of webhooks, then calm, then the invariants."""

import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg

from chaos import invariants
from chaos.system import System, running
from ops.sandbox.webhooks import signature, webhook_body

STOP_S = 4.5  # longer than a lease
CALM_DEADLINE_S = 120.0
SHAPES = ("seed", "attributes", "data", "lead")
TARGETS = ("c2s.create_message", "c2s.get_lead", "diretrix", "work")
KINDS = ("error", "timeout", "reset", "lost_reply", "429", "slow")


@dataclass
class Report:
    """What was done and what came of it."""

    seed: int
    injected: Counter = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    answers: Counter = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    calm_s: float = 0.0
    takeovers: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        kills = sum(n for what, n in self.injected.items() if what.startswith("SIGKILL"))
        verdict = "all invariants hold" if not self.broken else "BROKEN:\n  " + "\n  ".join(self.broken[:30])
        return (
            f"seed {self.seed}: {len(self.accepted)} webhooks accepted, {kills} kills\n"
            f"  injected: {dict(sorted(self.injected.items()))}\n  answers: {dict(self.answers)}\n"
            f"  all final {self.calm_s:.1f} s after the storm\n  {verdict}"
        )


async def storm(data_dir: Path, *, seed: int, seconds: float, leads: int, servers: bool = True) -> Report:
    """Run one storm; ``servers`` says whether Redis and Postgres are killed too."""
    report = Report(seed)
    rng = random.Random(seed)
    async with running(data_dir) as system:
        hurting = asyncio.create_task(_hurt(system, random.Random(rng.random()), report, servers))
        try:
            await _send(system, random.Random(rng.random()), report, leads, seconds)
        finally:
            hurting.cancel()
            with suppress(asyncio.CancelledError):
                await hurting
        await _calm(system, report)
    return report


async def _send(system: System, rng: random.Random, report: Report, leads: int, seconds: float) -> None:
    """Webhooks in even time, some twice, some leads closed after; a refused one is not ours to keep."""
    begun = time.monotonic()
    run = f"{report.seed}-{rng.getrandbits(32):08x}"
    tasks = []
    for n in range(leads):
        await asyncio.sleep(max(0.0, begun + n * seconds / leads - time.monotonic()))
        tasks.append(asyncio.create_task(_lead(system, f"storm-{run}-{n}", rng.random(), report)))
    await asyncio.gather(*tasks)


async def _lead(system: System, lead: str, luck: float, report: Report) -> None:
    shape = SHAPES[int(luck * 1000) % len(SHAPES)]
    body = webhook_body(lead, "on_create_lead", shape, datetime.now(UTC))
    await _post(system, body, report)
    if luck < 0.2:
        await _post(system, body, report)
    if luck > 0.9:
        await _post(system, webhook_body(lead, "on_close_lead", shape, datetime.now(UTC)), report)


async def _post(system: System, body: bytes, report: Report) -> None:
    ready = system.ready
    headers = {
        "X-C2S-Signature": signature(body, ready["webhook_secret"]),
        "Content-Type": "application/json",
    }
    for _ in range(5):
        try:
            async with system.http.post(ready["webhook_url"], data=body, headers=headers) as answer:
                report.answers[answer.status] += 1
                if answer.status == 200:
                    report.accepted.add((await answer.json())["event_id"])
                    return
        except (aiohttp.ClientError, TimeoutError):
            report.answers["no answer"] += 1
        await asyncio.sleep(1.0)


async def _hurt(system: System, rng: random.Random, report: Report, servers: bool) -> None:
    processors = ["processor-1", "processor-2", "processor-3"]
    while True:
        await asyncio.sleep(rng.uniform(0.3, 1.6))
        dice = rng.random()
        if dice < 0.40:
            await _kill(system, rng.choice(processors), report)
        elif dice < 0.48:
            await _kill(system, "projector", report)
        elif dice < 0.54:
            await _kill(system, "ingress", report)
        elif dice < 0.64:
            name = rng.choice(processors)
            if system.hurt(name, signal.SIGSTOP):
                report.injected[f"SIGSTOP {name}"] += 1
                await asyncio.sleep(STOP_S)
                system.hurt(name, signal.SIGCONT)
        elif dice < 0.68 and servers:
            await _kill(system, rng.choice(["redis", "postgres"]), report)
        else:
            target, kind = rng.choice(TARGETS), rng.choice(KINDS)
            report.injected[f"{kind} {target}"] += 1
            await system.fault(target=target, kind=kind, status=500, times=rng.randint(1, 4), seconds=1.0)


async def _kill(system: System, name: str, report: Report) -> None:
    if system.hurt(name, signal.SIGKILL):
        report.injected[f"SIGKILL {name.partition('-')[0]}"] += 1


async def _calm(system: System, report: Report) -> None:
    await system.fault(clear=True)
    for name in ("processor-1", "processor-2", "processor-3"):
        system.hurt(name, signal.SIGCONT)
    begun = time.monotonic()
    url = system.ready["database_url"]
    while time.monotonic() - begun < CALM_DEADLINE_S:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if await invariants.count_final(url, report.accepted) == len(report.accepted):
                break
        await asyncio.sleep(0.5)
    report.calm_s = time.monotonic() - begun
    messages = (await system.sandbox())["messages"]
    report.broken = await invariants.broken(report.accepted, url, system.ready["redis_url"], messages)
