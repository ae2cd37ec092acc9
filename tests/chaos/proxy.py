"""A small TCP proxy that breaks connections: cut, forward and drop the reply, stall."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
_CHUNK = 65_536


@dataclass(eq=False)
class Link:
    """One client's connection and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    deaf: bool = False  # what the server answers from now on is dropped, and the connection with it

    def cut(self) -> None:
        """End both sides at once, without a farewell."""
        for writer in (self.client, self.server):
            writer.transport.abort()


@dataclass
class _Order:
    containing: bytes
    times: int


@dataclass
class Proxy:
    """Listens on a port of its own in front of ``port`` on this machine.

    Attributes:
        dropped: replies that were dropped so far, with their connections.
    """

    port: int
    dropped: int = 0
    _links: set[Link] = field(default_factory=set)
    _orders: list[_Order] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _refusing: bool = False

    async def start(self) -> int:
        """Listen; the proxy's port."""
        self._open.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more and cut what is there."""
        if self._server is not None:
            self._server.close()
        self.calm()
        self.cut_all()

    def cut_all(self) -> int:
        """Cut every connection; how many there were."""
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def cut_one(self, rng: random.Random) -> None:
        """Cut one connection, whichever."""
        if self._links:
            rng.choice(list(self._links)).cut()

    def drop_replies(self, times: int, containing: bytes = b"") -> None:
        """Of the next ``times`` commands that contain some bytes: forward them, drop the reply, cut."""
        self._orders.append(_Order(containing, times))

    def hold(self) -> None:
        """Stall: connections stay, nothing passes, until `flow`."""
        self._open.clear()

    def refuse(self) -> None:
        """Be away: cut what is there and take no connection, until `flow`."""
        self._refusing = True
        self.cut_all()

    def flow(self) -> None:
        """Let connections in and bytes pass again."""
        self._refusing = False
        self._open.set()

    def calm(self) -> None:
        """Forget every order and let everything pass."""
        self._orders.clear()
        self.flow()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            to_server = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, to_server[1])
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._commands(reader, link)),
            asyncio.create_task(self._replies(to_server[0], link)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            link.cut()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _commands(self, reader: asyncio.StreamReader, link: Link) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                link.deaf = link.deaf or self._ordered(data)
                link.server.write(data)
                await link.server.drain()

    async def _replies(self, reader: asyncio.StreamReader, link: Link) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                if link.deaf:
                    self.dropped += 1
                    return
                link.client.write(data)
                await link.client.drain()

    def _ordered(self, data: bytes) -> bool:
        for order in self._orders:
            if order.containing in data:
                order.times -= 1
                if order.times <= 0:
                    self._orders.remove(order)
                return True
        return False
