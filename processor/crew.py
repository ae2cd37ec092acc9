"""The crew: workers that take lead after lead, so many at once and no more.

A task that is told to go on does so a turn of the loop later, and on a busy instance such turns add up to a
twentieth of a lead's time. So a worker whose lead has ended takes the next itself, at once: whatever was read
ahead waits for that, lease in hand. A worker that finds nothing ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from ops.together import end_all
from processor.work import Work

log = structlog.get_logger()


class Crew:
    """The workers of one engine."""

    def __init__(self, most: int, work_on: Callable[[Work], Coroutine[Any, Any, None]]) -> None:
        """Set up; nobody works yet.

        Args:
            most: leads in work at once.
            work_on: works on one; what it raises is logged, and that lead is left to whoever takes it over.
        """
        self._most = most
        self._work_on = work_on
        self._waiting: deque[Work] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._at: dict[Work, asyncio.Task[None]] = {}
        self._dropped: set[Work] = set()

    def put(self, work: Work) -> None:
        """A lead to be worked on as soon as a worker is free."""
        self._waiting.append(work)
        if len(self._workers) < self._most:
            worker = asyncio.create_task(self._go_on())
            self._workers.add(worker)

    def drop(self, work: Work) -> bool:
        """Work no longer on a lead that was put; True where it waited, False where its work is cancelled."""
        if worker := self._at.get(work):
            self._dropped.add(work)
            worker.cancel()
            return False
        self._waiting.remove(work)
        return True

    async def disband(self) -> None:
        """Work on nothing any more."""
        self._waiting.clear()
        await end_all(self._workers)

    async def _go_on(self) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 -- a coroutine of a task
        try:
            while self._waiting:
                work = self._waiting.popleft()
                self._at[work] = me
                await self._one(work)
                # Of a lead that was dropped, or come too late for it: not the next one's.
                while me.cancelling():
                    me.uncancel()
        finally:
            # Not in a done-callback: a lead may be put between a task's end and its callbacks.
            self._workers.discard(me)

    async def _one(self, work: Work) -> None:
        try:
            await self._work_on(work)
        except asyncio.CancelledError:
            if work not in self._dropped:
                raise
        except Exception as error:  # noqa: BLE001 -- a bug in one lead's work must not stop the others
            log.error("work.broken", **work.names(), kind=type(error).__name__, error=str(error))  # noqa: TRY400 -- its text says it all
        finally:
            del self._at[work]
            self._dropped.discard(work)
