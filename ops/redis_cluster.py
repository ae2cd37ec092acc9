"""A client of a Redis Cluster: each command goes to the node that holds its key's hash slot.

Built of redis-py's client of a single server, one per node, because its own cluster client does more than
we may let it: at a CLUSTERDOWN or a few MOVED it cuts every connection, also those on which others wait or
write; callers beyond its connections are refused, not made to wait; each blocking read asks COMMAND GETKEYS
first; a MULTI runs in a thread of its own; and WAIT cannot be told to follow a write on its connection.

Who holds what is asked of any node (CLUSTER SLOTS) when first needed and again after a fault; MOVED and ASK
are followed, for they say that nothing was done. A lost connection is never retried here: the command may
have been carried out, and only its sender knows whether it may be sent again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio as redis
from redis.asyncio.client import Pipeline, PubSub
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ops.redis_place import Address

Open = Callable[[str, int], redis.Redis]
Command = tuple[tuple[Any, ...], dict[str, Any]]

_MOST_WAYS = 6  # redirections of one command
_PAUSE_S = 0.05
_EVAL = frozenset({"EVAL", "EVALSHA"})
_READS = frozenset({"XREAD", "XREADGROUP"})
_KEYLESS = frozenset({"PING", "TIME", "INFO", "CONFIG", "CLUSTER", "WAIT", "WAITAOF", "COMMAND", "DBSIZE"})
_ELSEWHERE = (AskError, TryAgainError, ClusterDownError)  # MOVED is an AskError, too
_LOST = (RedisConnectionError, RedisTimeoutError, OSError)


def slot_of(command: Sequence[Any]) -> int | None:
    """The hash slot of a command of ours; None where any node may answer."""
    name = _text(command[0]).upper()
    verb = name.partition(" ")[0]
    if verb in _KEYLESS:
        return None
    if verb in _EVAL:
        key = command[3]
    elif verb in _READS:
        key = command[[_text(word).upper() for word in command].index("STREAMS") + 1]
    else:
        key = command[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _text(word: Any) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


class ClusterClient(redis.Redis):
    """All nodes behind one client; the commands are redis-py's."""

    def __init__(self, seeds: Sequence[Address], open_node: Open) -> None:
        """Set up; nothing is connected yet.

        Args:
            seeds: nodes to ask first.
            open_node: makes the client of one node.
        """
        self._open = open_node
        self._seeds = list(seeds)
        self._nodes: dict[Address, redis.Redis] = {}
        self._owners: list[tuple[int, int, Address]] = []
        self._moved: dict[int, Address] = {}
        self._suspect: Address | None = None
        self._asking = asyncio.Lock()
        super().__init__(connection_pool=self._node(self._seeds[0]).connection_pool)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """The parsed reply of one command, from whoever holds its key."""

        async def ask(node: redis.Redis) -> Any:
            asked: Any = node.execute_command  # untyped
            return await asked(*args, **options)

        async def ask_after(node: redis.Redis) -> Any:
            pipe: Any = node.pipeline(transaction=False)
            pipe.execute_command("ASKING")
            pipe.execute_command(*args, **options)
            return (await pipe.execute())[1]

        return await self.routed(slot_of(args), ask, ask_after)

    async def routed(
        self,
        slot: int | None,
        ask: Callable[[redis.Redis], Awaitable[Any]],
        ask_after: Callable[[redis.Redis], Awaitable[Any]] | None = None,
    ) -> Any:
        """What ``ask`` says of the node that holds a slot, wherever that has moved.

        Args:
            slot: None for any primary.
            ask: talks to a node.
            ask_after: talks to the node that a slot is moving to; where None, the move is waited for.

        Raises:
            ClusterDownError: nobody holds the slot at present; nothing was done.
            TryAgainError: its keys are on two nodes at present; nothing was done.
        """
        way = ask
        at: Address | None = None
        for left in reversed(range(_MOST_WAYS)):
            address = at or await self._owner(slot)
            try:
                return await way(self._node(address))
            except MovedError as error:
                self._moved[error.slot_id] = (error.host or address[0], error.port)
                way, at = ask, None
            except AskError as error:
                if ask_after is None:
                    await self._pause(left, error)
                else:
                    way, at = ask_after, (error.host or address[0], error.port)
            except TryAgainError as error:
                await self._pause(left, error)
                way, at = ask, None
            except ClusterDownError:
                self._forget(None)
                raise
            except _LOST:
                self._forget(address)
                raise
        raise TryAgainError("too many redirections")

    async def _pause(self, left: int, error: Exception) -> None:
        if not left:
            raise error
        await asyncio.sleep(_PAUSE_S)

    async def primaries(self) -> dict[str, redis.Redis]:
        """The client of every node that holds slots, by ``host:port``."""
        await self._owner(None)
        held = sorted({address for _, _, address in self._owners} | set(self._moved.values()))
        return {f"{host}:{port}": self._node((host, port)) for host, port in held}

    async def scan_iter(self, *args: Any, **options: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        """The keys of all nodes, one node after the other."""
        for node in (await self.primaries()).values():
            async for key in node.scan_iter(*args, **options):
                yield key

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "ClusterPipeline":
        """Commands that leave together, in one flush per slot; a transaction is one of each slot."""
        return ClusterPipeline(self, transaction, shard_hint)

    def pubsub(self, **options: Any) -> PubSub:
        """A subscriber at any node: what is published at one is heard at all."""
        nodes = [node for address, node in self._nodes.items() if address != self._suspect]
        return random.choice(nodes or list(self._nodes.values())).pubsub(**options)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all nodes."""
        nodes, self._nodes = list(self._nodes.values()), {}
        await asyncio.gather(*(node.aclose(close_connection_pool) for node in nodes))

    def _node(self, address: Address) -> redis.Redis:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._open(*address)
        return node

    def _forget(self, suspect: Address | None) -> None:
        self._owners, self._moved, self._suspect = [], {}, suspect

    async def _owner(self, slot: int | None) -> Address:
        if not self._owners:
            async with self._asking:
                if not self._owners:
                    self._owners = await self._ask_owners()
        if slot is None:
            return self._owners[0][2]
        if slot in self._moved:
            return self._moved[slot]
        for first, last, address in self._owners:
            if first <= slot <= last:
                return address
        self._forget(None)
        raise ClusterDownError("CLUSTERDOWN nobody holds the slot")

    async def _ask_owners(self) -> list[tuple[int, int, Address]]:
        known = list(dict.fromkeys([*self._nodes, *self._seeds]))
        random.shuffle(known)
        known.sort(key=lambda address: address == self._suspect)  # whoever just failed is asked last
        failed: Exception | None = None
        for address in known:
            try:
                ask: Any = self._node(address).execute_command
                rows: Any = await ask("CLUSTER", "SLOTS")
            except _LOST as error:
                failed = error
                continue
            if rows:
                return [(row[0], row[1], _address(row[2], address[0])) for row in rows]
        raise RedisConnectionError("no node of the cluster answers") from failed


def _address(row: Sequence[Any], asked: str) -> Address:
    """A node's own address as CLUSTER SLOTS tells it; without a host it is the one that was asked."""
    return _text(row[0]) if row[0] and row[0] != b"?" else asked, int(row[1])


class ClusterPipeline(Pipeline):
    """Commands by slot; one without a key goes with that before it: WAIT on its write's connection."""

    def __init__(self, client: ClusterClient, transaction: bool, shard_hint: str | None) -> None:
        self._client = client
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """All replies, in order; what only a redirection answered is sent again to where that points."""
        stack: list[Any] = list(self.command_stack)
        self.command_stack = []
        by_slot: dict[int | None, list[int]] = {}
        slot: int | None = None
        for number, (args, _) in enumerate(stack):
            own = slot_of(args)
            slot = slot if own is None else own
            by_slot.setdefault(slot, []).append(number)
        replies: list[Any] = [None] * len(stack)
        groups = list(by_slot.items())
        done = await asyncio.gather(*(self._send(s, [stack[n] for n in numbers]) for s, numbers in groups))
        for (_, numbers), found in zip(groups, done, strict=True):
            for number, reply in zip(numbers, found, strict=True):
                replies[number] = reply
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    async def _send(self, slot: int | None, commands: Sequence[Command]) -> list[Any]:
        """The replies of one slot's commands, in one transaction or one by one."""
        replies: dict[int, Any] = {}

        async def send(node: redis.Redis, asking: bool) -> None:
            left = [n for n in range(len(commands)) if n not in replies]
            pipe: Any = node.pipeline(transaction=self.is_transaction)
            for n in left:
                if asking:
                    pipe.execute_command("ASKING")
                pipe.execute_command(*commands[n][0], **commands[n][1])
            found = await pipe.execute(raise_on_error=False)
            redirected = _sort(left, found[1::2] if asking else found, commands, replies)
            if redirected is not None:
                raise redirected

        async def ask(node: redis.Redis) -> None:
            await send(node, asking=False)

        async def ask_after(node: redis.Redis) -> None:
            await send(node, asking=True)

        # A transaction cannot be asked of two nodes: it waits until its slot has moved.
        await self._client.routed(slot, ask, None if self.is_transaction else ask_after)
        return [replies[n] for n in range(len(commands))]


def _sort(
    numbers: Sequence[int], found: Sequence[Any], commands: Sequence[Command], replies: dict[int, Any]
) -> Exception | None:
    """Keep what are replies; the first redirection, whose command (and what follows it) is still due."""
    first: Exception | None = None
    away = False
    for n, reply in zip(numbers, found, strict=True):
        if slot_of(commands[n][0]) is not None:
            away = isinstance(reply, _ELSEWHERE)
        if not away:
            replies[n] = reply
        elif first is None:
            first = reply
    return first
