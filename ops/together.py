"""Work side by side that ends together, however often a cancellation is lost.

Python 3.11's `asyncio.wait_for` swallows a cancellation that arrives while its inner step is just done
(python/cpython#81839), and the Redis client sends every command through it. Whoever cancels once may
then wait for ever, so tasks are cancelled again until they have ended.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Made = TypeVar("Made")

_AGAIN_S = 0.5


async def end_all(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks until they have ended; our own cancellation waits for that, too."""
    cancelled = False
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=_AGAIN_S)
        except asyncio.CancelledError:
            cancelled = True
        waiting = {task for task in waiting if not task.done()}
    if cancelled:
        raise asyncio.CancelledError


async def outlasted(work: "asyncio.Future[Made]") -> Made:
    """The result of what cannot be stopped; our own cancellation waits for its end."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return work.result()


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run side by side until all have ended.

    Raises:
        Exception: the first error of any of them; the others are ended first.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end_all(tasks)
    for task in done:
        task.result()


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it has ended or ``stop`` is set.

    Raises:
        Exception: what ``work`` raised.
    """
    task, waiter = asyncio.create_task(work), asyncio.create_task(stop.wait())
    either: set[asyncio.Task[Any]] = {task, waiter}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_all(either)
    if not task.cancelled():
        task.result()
