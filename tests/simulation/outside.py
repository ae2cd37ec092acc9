"""The world outside, in place of aiohttp's session: C2S, Diretrix and the Work API, and how they fail.

The real clients (`processor.outside`) run on top: budgets, time-outs, status codes and bodies are theirs to
understand. A POST that reached C2S is carried out whatever becomes of the caller, at the latest before it has
*settled* (`processor.send`): that C2S does not take longer is what the guarantee rests on.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from simulation.loop import VirtualLoop

CPF = "52998224725"
PERSON = {"nome": "Maria Exemplo", "cpf": CPF}
CUSTOMER = {"name": "Maria", "phone": "+55 11 96543-2109", "email": "maria@example.com"}


@dataclass(slots=True)
class Body:
    """An answer's content."""

    data: bytes

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        yield self.data


@dataclass(slots=True)
class Answer:
    """As much of aiohttp's response as the clients use."""

    status: int
    content: Body
    headers: dict[str, str] = field(default_factory=dict)
    content_length: int | None = None

    def close(self) -> None:
        """Nothing is open."""


def answer(status: int, body: object = None, **headers: str) -> Answer:
    text = b"" if body is None else orjson.dumps(body)
    return Answer(status, Body(text), {k.replace("_", "-"): v for k, v in headers.items()})


@dataclass
class Outside:
    """All three, with their state.

    Attributes:
        p_fault: probability that a call fails.
        settle_s: a POST is carried out within this time or never.
        messages: bodies per lead, in order of arrival.
    """

    loop: VirtualLoop
    rng: random.Random
    settle_s: float
    p_fault: float = 0.0
    messages: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, data: bytes | None, timeout: aiohttp.ClientTimeout, **_: Any
    ) -> AsyncIterator[Answer]:
        """One call of aiohttp's session."""
        fate = self._fate(method)
        if fate == "refused":
            raise _refused()
        if fate == "429":
            yield answer(429, Retry_After=str(self.rng.randint(1, 20)))
            return
        if fate == "500":
            yield answer(500)
            return
        post, limit_s = method == "POST", timeout.total
        answered: asyncio.Future[Answer] = self.loop.create_future()
        delay_s = (
            self.rng.uniform(0, self.settle_s if fate == "late" else limit_s) if fate else self._quick_s()
        )
        if fate != "request lost":
            context = self.loop.world.context
            self.loop.call_later(delay_s, self._carry_out, url, data, post, answered, context=context)
        if fate == "late":
            await asyncio.sleep(self.rng.uniform(0, limit_s))
            raise self.rng.choice([TimeoutError, aiohttp.ServerDisconnectedError])
        async with asyncio.timeout(limit_s):
            result = await answered
        if fate == "reply lost":
            raise aiohttp.ServerDisconnectedError
        if fate == "502 after effect":
            result = answer(502)
        yield result

    def _quick_s(self) -> float:
        return self.rng.expovariate(5)

    def _fate(self, method: str) -> str:
        if self.rng.random() >= self.p_fault:
            return ""
        fates = ["refused", "429", "500", "request lost", "reply lost", "slow"]
        if method == "POST":
            fates += ["502 after effect", "late", "late", "reply lost"]
        fate = self.rng.choice(fates)
        name = f"{'post' if method == 'POST' else 'get'} {fate}"
        self.counts[name] = self.counts.get(name, 0) + 1
        return fate

    def _carry_out(self, url: str, data: bytes | None, post: bool, answered: asyncio.Future[Answer]) -> None:
        result = self._post(url, data or b"") if post else self._get(url)
        if not answered.done():
            answered.set_result(result)

    def _post(self, url: str, data: bytes) -> Answer:
        lead = url.rpartition("/integration/leads/")[2].partition("/")[0]
        self.messages.setdefault(lead, []).append(orjson.loads(data)["body"])
        return answer(201, {})

    def _get(self, url: str) -> Answer:
        if "/integration/leads/" in url:
            lead = url.rpartition("/")[2]
            log = [{"message": text} for text in self.messages.get(lead, [])]
            return answer(200, {"data": {"id": lead, "attributes": {"customer": CUSTOMER, "log": log}}})
        if "/Consultas/Pessoa/" in url:
            return answer(200, [PERSON])
        return answer(404)


def _refused() -> aiohttp.ClientConnectorError:
    key: Any = aiohttp.client_reqrep.ConnectionKey("c2s", 80, False, True, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(111, "simulated: refused"))
