"""Waiting for what another process or task brings about and no event tells: asked until it is so."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


async def until(
    look: Callable[[], Awaitable[T]], holds: Callable[[T], bool] = bool, seconds: float = 30
) -> T:
    """What ``look`` finds, once it holds; the deadline is the test's failure."""
    async with asyncio.timeout(seconds):
        while not holds(found := await look()):  # noqa: ASYNC110 -- the one place that asks
            await asyncio.sleep(_PAUSE_S)
    return found


async def until_so(so: Callable[[], object], seconds: float = 30) -> None:
    """The same for what can be seen from this process at once."""

    async def look() -> object:
        return so()

    await until(look, seconds=seconds)
