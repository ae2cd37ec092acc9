"""A deterministic event loop in virtual time, on which several *processes* run.

Each process has its own ready queue, first in first out, as asyncio has it: that much order real code may
rely on. Which process moves next is the seed's choice. When nothing is ready, time jumps to the next timer.
There is no I/O. A process can be paused (its callbacks wait, its timers fire late, the clock goes on) and
killed (its callbacks never run again: no `finally`, no `except`).

A task belongs to the process in whose context it was created; `Process.context` starts one.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any


class Process:
    """One process of the simulated world."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.paused = False
        self.dead = False
        self._steps_left = 0
        self._then: Callable[[], None] = lambda: None
        self.context: Context = copy_context()
        self.context.run(_process.set, self)
        loop.processes.append(self)

    def after_steps(self, steps: int, then: Callable[[], None]) -> None:
        """Do something when it has run so many more callbacks: at any await, not only at any time."""
        self._steps_left, self._then = steps, then

    def stepped(self) -> None:
        if self._steps_left:
            self._steps_left -= 1
            if not self._steps_left:
                self._then()

    def kill(self) -> None:
        """End it as SIGKILL would."""
        self.dead = True
        self.ready.clear()


_process: ContextVar[Process | None] = ContextVar("process", default=None)


class Stuck(AssertionError):  # noqa: N818 -- a state of the world
    """Nothing is ready and no timer is set, or virtual time ran out: somebody waits for ever."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """See the module's text; ``rng`` decides which process runs next."""

    def __init__(self, rng: random.Random, *, limit_s: float) -> None:
        self._rng = rng
        self._limit_s = limit_s
        self._now_s = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.processes: list[Process] = []
        self.errors: list[str] = []
        self.world = Process(self, "world")

    def time(self) -> float:
        return self._now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        # asyncio.Task takes no context before it is made; all of it runs in the one it was made in.
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run the world's main task to its end.

        Raises:
            Stuck: see there.
        """
        before = asyncio.events._get_running_loop()
        asyncio.events._set_running_loop(self)
        try:
            task = self.create_task(main, context=self.world.context)
            while not task.done():
                self._step()
            task.result()
        finally:
            self._abandon()
            asyncio.events._set_running_loop(before)

    def _step(self) -> None:
        ready = [p for p in self.processes if p.ready and not p.paused]
        if not ready:
            self._advance()
            return
        process = ready[0] if len(ready) == 1 else self._rng.choice(ready)
        handle = process.ready.popleft()
        if not handle.cancelled():
            handle._run()
            process.stepped()

    def _advance(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Stuck("nothing is ready and no timer is set")
        self._now_s = max(self._now_s, self._timers[0][0])
        if self._now_s > self._limit_s:
            raise Stuck(f"not at rest after {self._limit_s:.0f} virtual seconds")
        while self._timers and self._timers[0][0] <= self._now_s:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._enqueue(handle)

    def _enqueue(self, handle: asyncio.Handle) -> None:
        context: Context = handle._context
        process = context.get(_process) or self.world
        if not process.dead:
            process.ready.append(handle)

    def _abandon(self) -> None:
        """Take what is left apart, so that nothing of this schedule runs in the next."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False
                with suppress(BaseException):  # whatever a killed coroutine's clean-up says, nobody hears it
                    task.get_coro().close()
            elif not task.cancelled():
                task.exception()
        self._tasks.clear()
        self._timers.clear()
        for process in self.processes:
            process.ready.clear()
