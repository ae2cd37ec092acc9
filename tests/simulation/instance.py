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
    """A running engine (one for each partition) in a process of its own."""

    def __init__(self, host: Host, name: str, number: int, partitions: tuple[int, int]) -> None:
        """``number`` tells incarnations apart; ``name`` may be that of a dead one.

        ``partitions`` is how many there are, by now and by the other number.
        """
        self.process = Process(host.loop, name)
        self.stop = asyncio.Event()
        self._host = host
        counting = dict(zip(("stream_partitions", "stream_partitions_other"), partitions, strict=True))
        settings = host.settings.model_copy(update={"instance": name, **counting})
        client = host.network.client(self.process)
        exchange = Exchange(client)
        budgets = Budgets(exchange, settings)
        budgets._ticket = f"{name}:{number}"  # random otherwise, and then no schedule could be replayed
        gate = Gate(budgets)
        session: Any = host.outside
        transport = Transport(
            session=session,
            max_bytes=settings.http_max_bytes,
            before_call=gate.before,
            settle=gate.after,
            clock=host.loop.time,
        )
        served = range(settings.partitions.served)
        engines = [self._engine(Keys(n), client, settings, transport, gate, exchange) for n in served]
        work = engines[0].run(self.stop) if len(engines) == 1 else _together(engines, self.stop)
        self.running = host.loop.create_task(work, context=self.process.context)

    def _engine(
        self,
        keys: Keys,
        client: Any,
        settings: Settings,
        transport: Transport,
        gate: Gate,
        exchange: Exchange,
    ) -> Engine:
        host, pool = self._host, self._host.archive
        store = LeadStore(keys, client, client, settings)
        executor = build_executor(
            store,
            clients_over(transport, settings),
            pool,  # type: ignore[arg-type]  # stands in for one
            settings,
            PlainCodec(),
            commands=client,
            exchange=exchange,
            gate=gate,
        )
        return Engine(
            store,
            replace(executor, rng=host.rng),
            client,
            settings,
            on_lost=_never,
            regroup=store.ensure_group,
            clock=host.loop.time,
        )

    def crash(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self._host.network.forget(self.process)


async def _together(engines: Sequence[Engine], stop: asyncio.Event) -> None:
    await asyncio.gather(*(engine.run(stop) for engine in engines))


async def _never(entry_ids: Sequence[str]) -> None:
    raise AssertionError(f"nobody deletes entries here, and yet these are lost: {entry_ids}")
