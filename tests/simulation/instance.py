"""One processor instance of the simulation: the product's own parts over simulated clients."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ops.settings import Settings
from processor.budget import Budgets
from processor.engine import Engine
from processor.exchange import Exchange
from processor.gate import Gate
from processor.outside import Transport, clients_over
from processor.service import build_executor
from processor.store import LeadStore
from schema.codec import PlainCodec
from schema.keys import Keys
from simulation.archive import Archive
from simulation.loop import Process, VirtualLoop
from simulation.network import Network
from simulation.outside import Outside


@dataclass
class Host:
    """What every instance runs on."""

    loop: VirtualLoop
    network: Network
    outside: Outside
    archive: Archive
    settings: Settings
    rng: random.Random


class Instance:
    """A running engine in a process of its own."""

    def __init__(self, host: Host, name: str, number: int) -> None:
        """``number`` tells incarnations apart; ``name`` may be that of a dead one."""
        self.process = Process(host.loop, name)
        self.stop = asyncio.Event()
        self._host = host
        settings = host.settings.model_copy(update={"instance": name})
        client = host.network.client(self.process)
        exchange = Exchange(client)
        budgets = Budgets(exchange, settings)
        budgets._ticket = f"{name}:{number}"  # random otherwise, and then no schedule could be replayed
        gate = Gate(budgets)
        session: Any = host.outside
        pool: Any = host.archive
        transport = Transport(
            session=session,
            max_bytes=settings.http_max_bytes,
            before_call=gate.before,
            settle=gate.after,
            clock=host.loop.time,
        )
        store = LeadStore(Keys(0), client, client, settings)
        executor = build_executor(
            store,
            clients_over(transport, settings),
            pool,
            settings,
            PlainCodec(),
            commands=client,
            exchange=exchange,
            gate=gate,
        )
        self.engine = Engine(
            store,
            replace(executor, rng=host.rng),
            client,
            settings,
            on_lost=_never,
            regroup=store.ensure_group,
            clock=host.loop.time,
        )
        self.running = host.loop.create_task(self.engine.run(self.stop), context=self.process.context)

    def crash(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self._host.network.forget(self.process)


async def _never(entry_ids: Sequence[str]) -> None:
    raise AssertionError(f"nobody deletes entries here, and yet these are lost: {entry_ids}")
