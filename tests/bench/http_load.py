"""An HTTP load: prepared requests over kept connections, one answer awaited before the next is sent.

Prepared and signed before the clock starts, and read with as little parsing as a 200 needs, so that the
client is not what is measured.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 64
_OK = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load saw.

    Attributes:
        per_second: answers per second.
        p50_ms: median latency.
        p99_ms: 99th percentile of the latency.
    """

    per_second: float
    p50_ms: float
    p99_ms: float


class _Connection(asyncio.Protocol):
    """One connection: takes the next prepared request whenever an answer is whole."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        # A 200 here is one flat JSON object, so it ends with its only brace; the rest is looked at closer.
        if not self._got and data.startswith(_OK) and data.endswith(b"}"):
            self._load.took.append(time.perf_counter() - self._sent_at)
            self._next()
            return
        self._got += data
        head, found, rest = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        length = int(lower[at : (lower + b"\r\n").index(b"\r\n", at)])
        if len(rest) < length:
            return
        self._load.took.append(time.perf_counter() - self._sent_at)
        if not head.startswith(_OK):
            self._load.fail(head.split(b"\r\n", 1)[0].decode())
            return
        self._got = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.fail("the connection was closed")

    def _next(self) -> None:
        request = next(self._load.requests, None)
        if request is None:
            self._load.rest()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


class _Load:
    def __init__(self, requests: Sequence[bytes], connections: int) -> None:
        self.requests = iter(requests)
        self.took: list[float] = []
        self._busy = connections
        self._count = len(requests)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def rest(self) -> None:
        self._busy -= 1
        if not self._busy and not self.done.done():
            self.done.set_result(None)

    def fail(self, what: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(what))


async def load(port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Loaded:
    """Send all requests, each connection its next as soon as it was answered.

    Raises:
        RuntimeError: an answer other than 200, or a connection that the server closed.
    """
    loop = asyncio.get_running_loop()
    state = _Load(requests, connections)
    begun = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Connection(state), "127.0.0.1", port)
        for _ in range(connections)
    ]
    try:
        await state.done
    finally:
        took = time.perf_counter() - begun
        for transport, _ in made:
            transport.abort()
    quantiles = statistics.quantiles(state.took, n=100)
    return Loaded(len(requests) / took, quantiles[49] * 1000, quantiles[98] * 1000)


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
