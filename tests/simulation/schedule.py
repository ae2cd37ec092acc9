"""One schedule: a few leads, a few instances, a door, and what befalls them; all from one seed."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson
from msgspec.structs import replace

from ops.append import Appender
from ops.settings import Settings, load_settings
from schema.calls import Appended, Appending
from schema.errors import StorageUnavailable
from schema.events import LeadDeadLettered, LeadProcessed, Outcome, WebhookAccepted
from schema.identity import CLOSE, CREATE, UPDATE, dedup_key, event_id_of
from schema.keys import GROUP, Keys
from simulation.archive import Archive
from simulation.instance import Host, Instance
from simulation.loop import Process, VirtualLoop
from simulation.network import Network
from simulation.outside import CUSTOMER, Outside
from simulation.redis_model import RedisModel
from simulation.scripts import scripts

START = datetime(2026, 1, 21, 12, tzinfo=UTC)
STORM_S = 90.0
LIMIT_S = 6 * 3600.0
_SETTLE_FACTOR = 1.5  # as `processor.service` has it
_ENDS = ("lead_processed", "lead_dead_lettered", "event_ignored")


@dataclass
class Schedule:
    """Everything that one seed leads to.

    Attributes:
        numbers: of partitions, now and otherwise, as the settings have them: each process draws one.
        accepted: ids of events that the door answered for.
        log: what was done to whom, and when (virtual seconds).
    """

    seed: int
    numbers: tuple[tuple[int, int], ...] = ((1, 0),)
    accepted: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.loop = VirtualLoop(self.rng, limit_s=LIMIT_S)
        self.model = RedisModel(self._now_us, scripts().run)
        self.partitions = max(max(pair) for pair in self.numbers)
        for partition in range(self.partitions):
            stream = Keys(partition).webhooks.encode()
            self.model.do_xgroup(b"CREATE", stream, GROUP.encode(), b"0", b"MKSTREAM")
        settings = _settings(self.rng.random() < 0.2)
        self.network = Network(self.loop, self.model, self.rng)
        self.outside = Outside(self.loop, self.rng, settings.http_timeout_secs * _SETTLE_FACTOR)
        self.archive = Archive(self.model, self.rng, lambda: self.rng.expovariate(0.5))
        self.archive.partitions = self.partitions
        self.host = Host(self.loop, self.network, self.outside, self.archive, settings, self.rng)
        self.instances: dict[str, Instance] = {}
        self.door: Process | None = None
        self._open_door()
        self._number = 0

    def run(self) -> None:
        """To the end: all final, everything settled, every instance stopped.

        Raises:
            Stuck: it never came to rest.
        """
        self.loop.run(self._world())

    @property
    def outcomes(self) -> list[Outcome]:
        return [f.event for f in self.archive.facts() if isinstance(f.event, Outcome)]

    def note(self, text: str) -> None:
        self.log.append(f"{self.loop.time():9.3f} {text}")

    def _now_us(self) -> int:
        return int(START.timestamp()) * 1_000_000 + int(self.loop.time() * 1_000_000)

    async def _world(self) -> None:
        rng = self.rng
        for n in range(rng.randint(2, 3)):
            self._start(f"p{n}")
        self.network.p_fault = rng.choice([0.0, 0.02, 0.1, 0.25])
        self.outside.p_fault = rng.choice([0.0, 0.1, 0.4])
        self.archive.p_fault = rng.choice([0.0, 0.2])
        troubles: list[Coroutine[Any, Any, None]] = [self._trouble(n) for n in self.instances]
        await asyncio.gather(*self._senders(), *troubles)
        self.note("the storm is over")
        self.network.p_fault = self.outside.p_fault = self.archive.p_fault = 0.0
        await self._all_final()
        await asyncio.sleep(120)
        for instance in self.instances.values():
            instance.stop.set()
        await asyncio.wait([i.running for i in self.instances.values()])
        for instance in self.instances.values():
            instance.running.result()

    def _start(self, name: str) -> None:
        self._number += 1
        self.instances[name] = Instance(self.host, name, self._number, self._drawn())
        self.note(f"{name}: started")

    def _drawn(self) -> tuple[int, int]:
        return self.numbers[0] if len(self.numbers) == 1 else self.rng.choice(self.numbers)

    async def _trouble(self, name: str) -> None:
        """What befalls one instance: it is killed (and started again) or stopped for a while."""
        rng, key = self.rng, name
        while self.loop.time() < STORM_S:
            instance = self.instances[key]
            await self._moment(instance.process)
            if rng.random() < 0.5:
                self.note(f"{key}: killed")
                instance.crash()
                del self.instances[key]
                await asyncio.sleep(rng.choice([0.1, 2.0, rng.uniform(0, 60)]))
                key = key if rng.random() < 0.5 else f"{name}-{self._number}"
                self._start(key)
            else:
                instance.process.paused = True
                asleep_s = rng.choice([0.5, 5.0, rng.uniform(20, 70)])
                self.note(f"{key}: stopped for {asleep_s:.1f} s")
                await asyncio.sleep(asleep_s)
                instance.process.paused = False

    async def _moment(self, process: Process) -> None:
        """When it happens: after a number of steps of the process (so, between any two), or at some time."""
        rng = self.rng
        if rng.random() < 0.5:
            await asyncio.sleep(rng.choice([rng.uniform(0, 3), rng.expovariate(1 / 40)]))
            return
        there = asyncio.Event()
        # Nothing runs between the step and what befalls the process: it stands still from here on.
        process.after_steps(rng.randint(1, 200), lambda: (setattr(process, "paused", True), there.set()))
        with suppress(TimeoutError):
            async with asyncio.timeout(STORM_S):
                await there.wait()
        process.after_steps(0, there.set)
        process.paused = False

    def _senders(self) -> list[Coroutine[Any, Any, None]]:
        """C2S, webhook by webhook."""
        senders = []
        for lead in range(self.rng.randint(1, 3)):
            actions = [CREATE, *self.rng.choices([UPDATE, UPDATE, CLOSE], k=self.rng.randint(0, 2))]
            for n, action in enumerate(dict.fromkeys(actions) if CLOSE in actions else actions):
                senders.append(self._deliver(webhook_of(f"L{lead}", action, f"v{n}")))
        return senders

    def _open_door(self) -> None:
        """A door in a process of its own; the one before, if any, is killed."""
        if self.door is not None:
            self.door.kill()
            self.network.forget(self.door)
        self.door = Process(self.loop, "door")
        client = self.network.client(self.door)
        self.appenders = [
            Appender(client, partitions=number, other=other, dedup_ttl_s=86_400, instance="door")
            for number, other in self.numbers
        ]

    async def _deliver(self, item: Appending) -> None:
        """C2S sends again until it is answered, and sometimes once more."""
        await asyncio.sleep(self.rng.choice([0.0, 1.0, self.rng.uniform(0, STORM_S * 0.7)]))
        for _ in range(self.rng.choice([1, 1, 2])):
            while (took := await self._post(item)) is None:
                await asyncio.sleep(self.rng.uniform(0.1, 5))
            self.accepted.add(took.event_id)
            what = "accepted" if took.fresh else "again"
            self.note(f"door: {item.event.lead_id} {item.event.action} {what}")
            await asyncio.sleep(self.rng.uniform(0, 20))

    async def _post(self, item: Appending) -> Appended | None:
        """One delivery; None where the door did not answer 200."""
        received_at = START + timedelta(seconds=self.loop.time())
        item = item._replace(event=replace(item.event, received_at=received_at))
        assert self.door is not None
        door = self.door
        appender = self.appenders[0] if len(self.appenders) == 1 else self.rng.choice(self.appenders)
        asked = self.loop.create_task(appender.append(item), context=door.context)
        if self.rng.random() < self.network.p_fault:
            door.after_steps(self.rng.randint(1, 12), self._open_door)
        await asyncio.wait({asked}, timeout=15)
        if not asked.done() or isinstance(asked.exception(), StorageUnavailable):
            return None
        return asked.result()

    async def _all_final(self) -> None:
        while True:  # time is virtual: looking again costs nothing
            ends = {o.event_id for o in self.outcomes if o.type in _ENDS}
            if self.accepted <= ends:
                return
            await asyncio.sleep(10)

    def history(self) -> str:
        """All that happened, in order."""
        lines = list(self.log)
        for fact in self.archive.facts():
            at = (int(fact.entry_id.partition("-")[0]) - START.timestamp() * 1000) / 1000
            event = fact.event
            assert event is not None
            detail = f"{event.type} {event.lead_id} {event.action} {event.event_id[:8]}"
            if isinstance(event, Outcome) and event.fence:
                detail += f" by {event.instance} attempt {event.attempt} fence …{event.fence % 10**9}"
            if isinstance(event, LeadProcessed):
                detail += f" {event.result}"
            detail += (
                f" {getattr(event, 'code', '')}"
                if not isinstance(event, LeadDeadLettered)
                else f" DEAD {event.code}"
            )
            lines.append(f"{at:9.3f} {detail}")
        return "\n".join([f"seed {self.seed}", *sorted(lines, key=lambda line: float(line.split()[0]))])


def webhook_of(lead: str, action: str, version: str) -> Appending:
    """A webhook; with every second length of version it carries the customer."""
    body: dict[str, Any] = {"id": lead, "hook_action": action}
    if len(version) % 2 == 0:
        body["attributes"] = {"customer": CUSTOMER}
    key = dedup_key(lead, action, version)
    event = WebhookAccepted(
        event_id=event_id_of(key),
        lead_id=lead,
        action=action,
        version=version,
        source="webhook",
        received_at=START,
        payload=orjson.dumps(body).decode(),
    )
    return Appending(event, key)


@cache
def _settings(limited: bool) -> Settings:
    rate = "30/minute" if limited else "0"
    return load_settings(
        "processor",
        {
            "C2S_TOKEN": "t",
            "DIRETRIX_USER": "u",
            "DIRETRIX_PASS": "p",
            "WORK_API_KEY": "k",
            "C2S_RATE_LIMIT": rate,
            "DIRETRIX_RATE_LIMIT": rate,
            "WORK_API_RATE_LIMIT": rate,
            "PROCESSOR_CONCURRENCY": "4",
        },
    )
