"""The exchange: what this process asks the fleet about the outside, gathered into few calls of one script.

Whatever is asked at the same time shares a call (see `ops.batcher`); what nobody waits for goes with the next
one, after half a second at the latest. The *rider* has a word in every call: it tells, and learns, what need
not be asked for by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ops.batcher import Batcher
from ops.redis import Client, run
from ops.together import end_all
from schema.errors import StorageUnavailable
from schema.outside import Op, call

_MOST_PER_CALL = 64
_LATER_S = 0.5  # an erasure looks again after more than a second: it finds what came late


class Rider(Protocol):
    """Goes with every call."""

    def board(self) -> Sequence[Op]: ...
    def arrived(self, replies: Sequence[Any]) -> None: ...


class Exchange:
    """One process's way to all that the fleet shares about the outside."""

    def __init__(self, client: Client, gather_s: Callable[[], float] | None = None) -> None:
        """Set up.

        Args:
            client: for short commands.
            gather_s: how long a call may wait for others to share it, unless one of them is in a hurry.
        """
        self._client = client
        self._batcher: Batcher[tuple[Op, ...], list[Any]] = Batcher(
            self._flush, most=_MOST_PER_CALL, gather_s=gather_s
        )
        self._later: list[Op] = []
        self._timer: asyncio.Task[None] | None = None
        self.rider: Rider | None = None

    async def ask(self, *ops: Op, hurry: bool = False) -> list[Any]:
        """The replies to operations, which are carried out one right after the other.

        Raises:
            StorageUnavailable: Redis is away; they may or may not have had their effect.
        """
        return await self._batcher.put(ops, hurry=hurry)

    def later(self, op: Op) -> None:
        """Carry out an operation with the next call, soon, and best effort; nobody waits for its reply."""
        self._later.append(op)
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._soon())

    async def aclose(self) -> None:
        """Carry out what is left for later."""
        if self._timer is not None:
            await end_all({self._timer})
        await self._empty()

    async def _soon(self) -> None:
        await asyncio.sleep(_LATER_S)
        await self._empty()

    async def _empty(self) -> None:
        if self._later:
            with suppress(StorageUnavailable):
                await self.ask(hurry=True)

    async def _flush(self, asked: Sequence[tuple[Op, ...]]) -> Sequence[list[Any]]:
        # What was left for later comes first: a look that comes with it shall find it.
        before, self._later = self._later, []
        riding = self.rider.board() if self.rider else ()
        ops = [*before, *riding, *(op for one in asked for op in one)]
        replies: list[Any] = await run(self._client, call(ops)) if ops else []
        at = len(before) + len(riding)
        if self.rider:
            self.rider.arrived(replies[len(before) : at])
        found = []
        for one in asked:
            found.append(replies[at : at + len(one)])
            at += len(one)
        return found
