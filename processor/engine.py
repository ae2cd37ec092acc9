"""The engine of one partition: claiming, executing, recording, heartbeat and reclaiming, as separate things.

* *reader*: blocks on new entries, takes no more than there are free slots.
* *ticker*: due retries and what crashed owners left behind. It sleeps exactly until there may be something
  (the tick says when), and indefinitely while nothing is pending; the wake channel tells it when some
  instance took up work, so idle instances cost no commands and still notice a crash in time.
* *ends*: what attempts came to is recorded beside, many in one call.
* *heartbeat*: renews the leases in work, all in one call; a lost lease cancels its work.
* *crew*: workers, at most ``processor_concurrency``, each with a lead in work; what reader and ticker claim
  beyond that waits its turn, lease in hand. A lead whose end is being recorded takes no slot any more, so the
  next is claimed meanwhile; of such there are at most as many again.

Redis is authoritative throughout; losing this process at any point loses nothing but time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import structlog
from redis.exceptions import ResponseError

from ops.redis import Client
from ops.settings import Settings
from ops.together import end_all, until
from processor.crew import Crew
from processor.ends import Ends
from processor.executor import Executor
from processor.meters import Meters
from processor.persistence import persistently
from processor.slots import Slots
from processor.starting import begun
from processor.store import LeadStore
from processor.wake import listen
from processor.work import Work
from schema.calls import Entered, Entry, Finished, Finishing
from schema.errors import LeaseLost, StorageUnavailable
from schema.events import AttemptFailed

log = structlog.get_logger()

_IDLE_TICK_S = 1800.0  # a net under the wake channel, whose messages may be lost
_PAUSE_S = 0.5
_SAFETY_S = 0.05
_SWEEP_S = 600.0  # least time between two looks for consumers of dead instances
_MOST_READ = 64  # at once: more would make others wait while their script runs in Redis

Lost = Callable[[Sequence[str]], Awaitable[None]]


class Engine:
    """Works one partition until told to stop."""

    def __init__(
        self,
        store: LeadStore,
        executor: Executor,
        commands: Client,
        settings: Settings,
        *,
        on_lost: Lost,
        regroup: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
        meters: Meters | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            store: the partition.
            executor: runs attempts.
            commands: for the wake channel.
            settings: ours.
            on_lost: is told the ids of pending entries that are no longer in the stream.
            regroup: makes stream and group where they are gone, and says whether they were.
            clock: monotonic seconds.
            meters: what counts; by default nobody reads it.
        """
        self._meters = meters or Meters()
        self._store = store
        self._executor = executor
        self._commands = commands
        self._settings = settings
        self._on_lost = on_lost
        self._regroup = regroup
        self._clock = clock
        self._sweep_at = 0.0
        self._works: set[Work] = set()
        self._ends = Ends(store, executor, over=self._over, then=self._follow)
        self._claims: set[asyncio.Task[None]] = set()
        self._slots = Slots(settings, clock, store.rhythm)
        self._crew = Crew(self._slots.most, self._work)
        self._tick_at = 0.0
        self._tick_changed = asyncio.Event()
        self._cursor = "0-0"
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Leads in work."""
        return len(self._works)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``; then finish what is in work, hand back the rest, and leave the group."""
        await until(stop, persistently("starting", self._regroup, self._regroup))
        loops = [
            asyncio.create_task(self._forever("reader", self._read_once)),
            asyncio.create_task(self._forever("ticker", self._tick_once)),
            asyncio.create_task(self._listen()),
        ]
        heartbeat = asyncio.create_task(self._forever("heartbeat", self._heartbeat_once))
        waiter = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({*loops, heartbeat, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping = True
            self._store.take_next = False
            await end_all({*loops, waiter})
            await asyncio.gather(*self._claims)
            await self._drain()
            await end_all({heartbeat})
        for task in (*loops, heartbeat):
            if not task.cancelled():
                task.result()

    # -- claiming

    async def _read_once(self) -> None:
        free = await self._slots.some()
        entries = await self._store.read(min(free, _MOST_READ), self._settings.block_secs)
        if entries:
            # Whoever was told of earlier work looks again only as long as it finds some pending.
            task = asyncio.create_task(self._claim(entries, wake=self._slots.idle))
            self._claims.add(task)
            task.add_done_callback(self._claims.discard)

    async def _claim(self, entries: Sequence[Entry], *, wake: bool) -> None:
        """Enter what was read or handed over; what cannot be entered is left to the ticker."""
        with self._slots.claiming(len(entries)):
            try:
                await self.take(entries, wake=wake)
            except (StorageUnavailable, ResponseError) as error:
                kind = type(error).__name__
                log.warning("redis.unavailable", loop="claim", entries=len(entries), kind=kind)
                self._look_again_in(self._settings.reclaim_idle_secs)

    async def _tick_once(self) -> None:
        while (left := self._tick_at - self._clock()) > 0:
            self._tick_changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._tick_changed.wait()
            except TimeoutError:
                break
        if not self._slots.free:
            self._tick_at = self._clock() + _PAUSE_S
            return
        ticked = await self._store.tick(self._slots.free, self._cursor, low_slots=self._slots.low_free)
        self._cursor = ticked.cursor
        self._slots.park(ticked.parked > 0)
        wait_s = _IDLE_TICK_S if ticked.wait_s is None else max(ticked.wait_s, _SAFETY_S)
        self._tick_at = self._clock() + wait_s
        if ticked.lost:
            await self._lose(ticked.lost)
        entries = await self._store.decoded(ticked.entries)
        if entries:
            log.info("entries.reclaimed", entries=len(entries))
            await self.take(entries, wake=False)
            await self._sweep()

    async def _sweep(self) -> None:
        """After a takeover (somebody may have died), but seldom: it is the group's tidiness, no more."""
        if self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + _SWEEP_S
            await self._store.sweep()

    def _listen(self) -> Coroutine[Any, Any, None]:
        idle_s = self._settings.reclaim_idle_secs
        return listen(self._commands, self._store.keys.wake, self._look_again_in, reclaim_idle_s=idle_s)

    def _look_again_in(self, seconds: float) -> None:
        """Bring the next tick forward."""
        at = self._clock() + seconds
        if at < self._tick_at:
            self._tick_at = at
            self._tick_changed.set()

    async def take(self, entries: Sequence[Entry], *, wake: bool) -> None:
        """Enter claimed entries and start those whose lead is free."""
        before = self._clock()
        with self._slots.asking(entries) as low:
            all_entered = await self._store.enter(entries, wake=wake, low_slots=low)
            for entry, entered in zip(entries, all_entered, strict=True):
                if entered.state == "run":
                    self._start(entry, entered, before)
                elif entered.state == "later":
                    self._look_again_in(entered.due_s)
                elif entered.state == "parked":
                    self._slots.park(True)
        parked = self._slots.parked and self._slots.low_free
        self._look_again_in(0 if parked else self._settings.reclaim_idle_secs)

    async def _lose(self, entry_ids: Sequence[str]) -> None:
        """Pending entries without a body: reported, then struck off, for they can never be worked on."""
        await self._on_lost(entry_ids)
        await self._store.forget(entry_ids)

    # -- executing

    def _start(self, entry: Entry, entered: Entered, before: float) -> None:
        work = begun(entry, entered, before, self._settings, clock=self._clock, meters=self._meters)
        self._works.add(work)
        self._slots.started(work)
        self._crew.put(work)

    async def _work(self, work: Work) -> None:
        """What a worker does: the attempt. Its end is recorded beside, while the worker goes on."""
        item = None
        try:
            item = await self._executor.attempt(work)
        finally:
            if item is None:
                self._over(work)
        if item is not None:
            self._slots.ending(work)
            self._ends.record(work, item)

    async def _follow(self, item: Finishing, done: Finished) -> None:
        """What follows a recorded end: above all, the lead's next entry."""
        if done.lost:
            await self._lose(done.lost)
        if isinstance(item.outcome, AttemptFailed):
            self._look_again_in(item.delay_s)
        if done.next is not None:
            entries = await self._store.decoded([done.next])
            if entries:
                await self._claim(entries, wake=False)

    def _over(self, work: Work) -> None:
        self._works.discard(work)
        self._slots.over(work, ending=work in self._ends)
        if self._slots.parked and work.takes_low_slot:
            self._look_again_in(0)

    # -- heartbeat

    async def _heartbeat_once(self) -> None:
        await asyncio.sleep(self._settings.heartbeat_secs)
        works = list(self._works)
        if not works:
            return
        before = self._clock()
        held = await self._store.renew([(work.lease, work.entry.entry_id) for work in works])
        for work, still in zip(works, held, strict=True):
            if still:
                work.renewed_at = before
            elif work in self._works and work not in self._ends:  # whose end is refused will say so
                log.warning("lease.lost", **work.names())
                self._meters.lost()
                if self._crew.drop(work):
                    self._over(work)

    # -- stopping

    async def _drain(self) -> None:
        """Let work end until the deadline; hand the rest back, due at once for anybody."""
        deadline_s = max(1.0, self._settings.shutdown_deadline_secs - 5.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while self._works:
                    await self._slots.change()
                await self._ends.settled()
        late = list(self._works)
        await self._crew.disband()
        await self._ends.give_up()
        for work in late:
            with suppress(LeaseLost, StorageUnavailable):
                await self._store.save(work)
            item = Finishing(work.entry, work.lease, None, clean=not work.sending)
            await self._executor.finish(work, item)
        if late:
            log.info("shutdown.handed_back", leads=len(late))
        try:
            await self._store.leave()
        except (StorageUnavailable, ResponseError) as error:
            log.info("shutdown.group_left_behind", kind=type(error).__name__)

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            await persistently(name, step, self._regroup)
