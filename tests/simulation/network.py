"""The network between processes and the store: latency, lost requests, lost replies, late arrivals.

A request that left a process arrives (or not) whatever becomes of the process meanwhile; a reply to a dead
one is nobody's. Blocking reads wait at the server, as Redis's do, and are forgotten when their process is
killed.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from simulation.client import ModelClient
from simulation.loop import Process, VirtualLoop
from simulation.redis_model import RedisModel, Reply

COMMAND_TIMEOUT_S = 5.0


@dataclass(slots=True)
class _Blocked:
    process: Process
    args: tuple[Any, ...]
    reply: asyncio.Future[Reply]


@dataclass
class Network:
    """Ways to one server.

    Attributes:
        p_fault: probability that a command's request or reply is lost, or its request late.
        counts: what was inflicted.
    """

    loop: VirtualLoop
    model: RedisModel
    rng: random.Random
    p_fault: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    _blocked: deque[_Blocked] = field(default_factory=deque)
    _ears: list[tuple[Process, asyncio.Queue[bytes]]] = field(default_factory=list)

    def client(self, process: Process) -> ModelClient:
        """A client of one process."""
        link = self

        class Client(ModelClient):
            def pubsub(self, **_: Any) -> Any:
                return link._listening(process)

        async def send(*args: Any) -> Reply:
            return await link._exchange(process, args)

        return Client(send)

    def forget(self, process: Process) -> None:
        """The connections of a killed process are closed."""
        self._blocked = deque(b for b in self._blocked if b.process is not process)
        self._ears = [ear for ear in self._ears if ear[0] is not process]

    async def _exchange(self, process: Process, args: tuple[Any, ...]) -> Reply:
        reply: asyncio.Future[Reply] = self.loop.create_future()
        block_s = int(args[args.index(b"BLOCK") + 1]) / 1000 if b"BLOCK" in args else 0.0
        limit_s = COMMAND_TIMEOUT_S + (block_s + 5.0 if block_s else 0.0)
        fate = self._fate(bool(block_s))
        if fate == "refused":
            raise RedisConnectionError("simulated: connection refused")
        late_s = self.rng.uniform(0, 8) if fate == "late" else self.rng.expovariate(500)
        if fate != "request lost":
            answer = reply if fate != "reply lost" else self.loop.create_future()
            self._later(late_s, self._arrive, process, args, answer, block_s)
        try:
            async with asyncio.timeout(limit_s if fate != "reply lost" else self.rng.uniform(0, limit_s)):
                return await reply
        except TimeoutError:
            raise RedisTimeoutError("simulated: no reply in time") from None

    def _fate(self, blocking: bool) -> str:
        if self.rng.random() >= self.p_fault:
            return ""
        fates = ["refused", "request lost", "reply lost"] if blocking else ["refused", "late", "request lost"]
        fate = self.rng.choice([*fates, "reply lost", "reply lost"])
        self.counts[f"redis {fate}"] = self.counts.get(f"redis {fate}", 0) + 1
        return fate

    def _later(self, delay_s: float, callback: Any, *args: Any) -> None:
        """In the world's own context, so that it happens whatever becomes of the caller."""
        self.loop.call_later(delay_s, callback, *args, context=self.loop.world.context)

    def _arrive(
        self, process: Process, args: tuple[Any, ...], reply: asyncio.Future[Reply], block_s: float
    ) -> None:
        try:
            result = self.model.execute(*args)
        except Exception as error:  # noqa: BLE001 -- an error reply
            self._later(self.rng.expovariate(500), _answer, reply, None, error)
            return
        if result is None and block_s and not process.dead:
            self._blocked.append(waiting := _Blocked(process, args, reply))
            self._later(block_s, self._unblock, waiting)
            return
        self._later(self.rng.expovariate(500), _answer, reply, result, None)
        self._serve()

    def _unblock(self, waiting: _Blocked) -> None:
        if waiting in self._blocked:
            self._blocked.remove(waiting)
            _answer(waiting.reply, None, None)

    def _serve(self) -> None:
        """After each command: readers that can be served now, the first first; then what was published."""
        for _ in range(len(self._blocked)):
            waiting = self._blocked.popleft()
            result = self.model.execute(*waiting.args)
            if result is None:
                self._blocked.append(waiting)
            else:
                self._later(self.rng.expovariate(500), _answer, waiting.reply, result, None)
        for _, message in self.model.published:
            for _, heard in self._ears:
                if self.rng.random() >= self.p_fault:
                    self._later(self.rng.expovariate(500), heard.put_nowait, message)
        self.model.published.clear()

    @asynccontextmanager
    async def _listening(self, process: Process) -> AsyncIterator["_Heard"]:
        ear = (process, asyncio.Queue[bytes]())
        self._ears.append(ear)
        try:
            yield _Heard(ear[1])
        finally:
            if ear in self._ears:
                self._ears.remove(ear)


@dataclass(slots=True)
class _Heard:
    """What `processor.wake` needs of a subscription."""

    queue: asyncio.Queue[bytes]

    async def subscribe(self, _channel: str) -> None:
        """Nothing to do: there is one channel."""

    async def get_message(self, **_: Any) -> dict[str, bytes]:
        return {"data": await self.queue.get()}


def _answer(reply: asyncio.Future[Reply], result: Reply, error: Exception | None) -> None:
    if reply.done():
        return
    if error is not None:
        reply.set_exception(error)
        reply.exception()  # the caller may have gone: then nobody needs to hear of it
    else:
        reply.set_result(result)
