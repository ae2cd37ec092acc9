"""A small HTTP server on a real socket that can do what well-behaved servers never do."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire; ``connection`` counts from 1, ``nth`` within it too."""

    head: str
    body: bytes
    connection: int
    nth: int

    @property
    def method(self) -> str:
        return self.head.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.head.split(" ", 2)[1]


@dataclass
class Raw:
    """A running server: what it saw, and its address."""

    port: int = 0
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Behaviour = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncIterator[Raw]:
    """Serve until the end of the block; ``behave`` answers each request, or does not."""
    raw = Raw()
    open_tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        raw.connections += 1
        connection, nth = raw.connections, 0
        try:
            while not writer.is_closing():
                nth += 1
                seen = await _read(reader, connection, nth)
                raw.requests.append(seen)
                await behave(seen, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the test is over: either way there is nothing more to serve
        finally:
            writer.close()
            raw.gone.set()
            open_tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for task in list(open_tasks):
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader, connection: int, nth: int) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = 0
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return Seen(head, await reader.readexactly(length), connection, nth)


def reply(status: int, body: bytes = b"{}", headers: str = "", length: int | None = None) -> Behaviour:
    """Answer so; ``headers`` are whole lines, ``length`` lies about the body's."""

    async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        size = len(body) if length is None else length
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return behave


def raw_bytes(data: bytes) -> Behaviour:
    """Answer these bytes and close."""

    async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


def then(first: Behaviour, second: Behaviour) -> Behaviour:
    """Do one, then the other, for each request."""

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await first(seen, writer)
        await second(seen, writer)

    return behave


async def silence(_seen: Seen, _writer: asyncio.StreamWriter) -> None:
    """Read the request and never answer."""
    await asyncio.Event().wait()


async def close(_seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Read the request and close in good order, without an answer."""
    writer.close()


async def reset(_seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Send a TCP reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def close_when_used_again(answer: Behaviour) -> Behaviour:
    """Answer a connection's first request and keep it alive; close it under the second."""

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await (answer if seen.nth == 1 else close)(seen, writer)

    return behave


async def endless(_seen: Seen, writer: asyncio.StreamWriter) -> None:
    """A chunked answer without end, until the client hangs up."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"[" * 0x1000 + b"\r\n")
        await writer.drain()


def free_port() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
