"""Group commit: callers that come while a flush is under way share the next one.

An idle batcher flushes at once, so a lone caller waits for nothing but its own round trip; under load
each round trip carries everything that gathered during the one before. Each caller gets its own result
or error. Where it is known that more will come (``gather_s``), a flush waits for it a moment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Turns single calls into batched ones."""

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int = 128,
        width: int = 1,
        gather_s: Callable[[], float] | None = None,
    ) -> None:
        """Set up; nothing runs until the first call.

        Args:
            flush: answers a batch, in order; what it raises goes to every caller of the batch.
            most: largest batch.
            width: flushes under way at once.
            gather_s: how long a flush waits for more, unless a batch is full or somebody is in a hurry.
        """
        self._flush = flush
        self._most = most
        self._width = width
        self._gather_s = gather_s
        self._go = asyncio.Event()  # no more waiting
        # Side by side: a batch is a slice of each, and nothing is made per caller but its future.
        self._waiting: list[T] = []
        self._futures: list[asyncio.Future[R]] = []
        self._active = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Callers whose batch has not been sent yet."""
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """The result for ``item``. A caller that is cancelled leaves; its item may still take effect."""
        return await self.put(item)

    def put(self, item: T, *, hurry: bool = False) -> asyncio.Future[R]:
        """As `submit`, for a caller that awaits the result in its own way (shielded, by a callback).

        Args:
            item: to be flushed.
            hurry: the next flush waits for nobody any more.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append(item)
        self._futures.append(future)
        if hurry or len(self._waiting) >= self._most:
            self._go.set()
        if self._active < self._width:
            self._active += 1
            task = loop.create_task(self._drain())
            self._tasks.add(task)  # the loop itself keeps only weak references
            task.add_done_callback(self._tasks.discard)
        return future

    async def _drain(self) -> None:
        # Counted down here, not in a done-callback: a caller may come between a task's end and its callbacks.
        try:
            while self._waiting:
                await self._gathered()
                await self._flush_next()
        finally:
            self._active -= 1

    async def _gathered(self) -> None:
        pause_s = self._gather_s() if self._gather_s else 0.0
        if pause_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._go.wait()
        self._go.clear()

    async def _flush_next(self) -> None:
        most = self._most
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        futures, self._futures = self._futures[:most], self._futures[most:]
        try:
            results = await self._flush(batch)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 -- handed to the callers, not swallowed
            for future in futures:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen: a caller that left meanwhile is not missed
        else:
            for future, result in zip(futures, results, strict=True):
                if not future.done():
                    future.set_result(result)
