"""Recording: the ends of attempts, many in one call, while workers go on with the next leads.

Nearly all ends are good, recorded at the first try, and nothing follows: such are seen to where the reply
comes in. Any other (Redis was away, the lease was lost, the lead's next entry is in our hands) gets a task.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from ops import traces
from ops.together import end_all
from processor.executor import Executor
from processor.store import LeadStore
from processor.work import Work
from schema.calls import Finished, Finishing

log = structlog.get_logger()


class Ends:
    """The ends of one engine's attempts that are being recorded."""

    def __init__(
        self,
        store: LeadStore,
        executor: Executor,
        *,
        over: Callable[[Work], None],
        then: Callable[[Finishing, Finished], Awaitable[None]],
    ) -> None:
        """Set up.

        Args:
            store: the partition.
            executor: sees to what the recording takes.
            over: is told when an attempt is out of our hands, recorded or not.
            then: does what follows a recorded end that was not like most.
        """
        self._store = store
        self._executor = executor
        self._over = over
        self._then = then
        self._recording: set[Work] = set()
        self._tasks: dict[asyncio.Task[None], Work] = {}

    def __contains__(self, work: Work) -> bool:
        """Whether its end is being recorded."""
        return work in self._recording

    def record(self, work: Work, item: Finishing) -> None:
        """Record an end together with those of others."""
        self._recording.add(work)
        recorded = self._store.finish(item)
        if traces.on():  # the span of the recording begins now
            self._see_to(work, item, recorded)
        else:
            recorded.add_done_callback(partial(self._recorded, work, item))

    async def settled(self) -> None:
        """Wait until nothing that takes a task is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def give_up(self) -> None:
        """See to no end any more; what is on its way to Redis may still be recorded."""
        self._recording.clear()
        await end_all(self._tasks)

    def _recorded(self, work: Work, item: Finishing, recorded: asyncio.Future[Finished]) -> None:
        if work not in self._recording:
            return  # given up
        if self._executor.ended(work, item, recorded):
            self._out(work)
        else:
            self._see_to(work, item, recorded)

    def _see_to(self, work: Work, item: Finishing, recorded: asyncio.Future[Finished]) -> None:
        task = asyncio.create_task(self._persist(work, item, recorded))
        self._tasks[task] = work
        task.add_done_callback(self._ended)

    async def _persist(self, work: Work, item: Finishing, recorded: asyncio.Future[Finished]) -> None:
        try:
            done = await self._executor.finish(work, item, recorded)
        finally:
            self._out(work)
        if done is not None:
            await self._then(item, done)

    def _out(self, work: Work) -> None:
        self._over(work)
        self._recording.discard(work)

    def _ended(self, task: asyncio.Task[None]) -> None:
        work = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("work.broken", **work.names(), kind=type(error).__name__, error=str(error))
