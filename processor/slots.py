"""How many leads one instance has in work, and how many more it may take: counting only.

An instance takes no more leads than it could serve alone within a minute of C2S's budget. Leads of lower
priority than new ones hold at most a quarter of the slots, so that the reader always gets to see a new lead,
however many replays are before it in the stream. While such leads are parked the reader leaves them their
share: they go on, however many new leads are in the stream (docs/budget.md).

A slot stands empty between two leads for as long as it takes to read and enter the next one. Where leads
end by the thousand that is a tenth of the time; so as many are read ahead as will have ended meanwhile, and
wait, lease in hand, for a worker (`processor.crew`).
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ops.settings import Settings, rate_interval_s
from processor.rhythm import Rhythm
from processor.work import Work
from schema.calls import Entry

_SOON_S = 60.0
_LEAST = 4
_LOW_SHARE = 4
_WORTH_A_READ = 0.4  # of the slots
_GATHER_S = 0.005  # longest wait for so many to be free, where leads take no longer
_AHEAD_S = 0.025  # about what reading and entering takes on a busy machine
_MOST_AHEAD = 1.0  # of the slots
_PACE_S = 0.1


class Pace:
    """How fast leads end, from those that ended lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._ended = 0
        self._per_s = 0.0

    def ended(self) -> None:
        """One more lead ended."""
        self._ended += 1

    def within(self, seconds: float) -> int:
        """How many leads will probably end within so many seconds."""
        took = self._clock() - self._since
        if took >= _PACE_S:
            self._per_s = self._ended / took
            self._ended = 0
            self._since += took
        return int(self._per_s * seconds)


class Slots:
    """The slots of one engine.

    Attributes:
        most: leads in work at once.
        low_most: of these, of low priority.
        freed: set whenever a slot may have become free.
        parked: whether leads of low priority are known to wait for a slot; see `park`.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        rhythm: Rhythm | None = None,
    ) -> None:
        interval_s = rate_interval_s(settings.c2s_rate_limit)
        soon = max(_LEAST, math.ceil(_SOON_S / interval_s)) if interval_s else settings.processor_concurrency
        self.most = min(settings.processor_concurrency, soon)
        self.low_most = max(1, self.most // _LOW_SHARE)
        self.freed = asyncio.Event()
        self.parked = False
        self._pace = Pace(clock)
        self._rhythm = rhythm or Rhythm()
        self._claimed = 0
        self._in_work = 0
        self._ending = 0
        self._low = 0
        self._low_asked = 0

    @property
    def free(self) -> int:
        """Slots for any lead. One whose end is being recorded takes none; there may be as many more."""
        return max(0, self._open)

    @property
    def _open(self) -> int:
        return self.most - self._claimed - self._in_work - max(0, self._ending - self.most)

    @property
    def low_free(self) -> int:
        """Slots for leads of low priority."""
        return max(0, self.low_most - self._low - self._low_asked)

    @property
    def to_read(self) -> int:
        """Slots for what the stream holds: those about to be free, too, but not the parked leads' share."""
        kept = self.low_free if self.parked and self.most > 1 else 0
        ahead = min(self._pace.within(_AHEAD_S), round(self.most * _MOST_AHEAD))
        return max(0, self._open + ahead - kept)

    def park(self, parked: bool) -> None:
        """Leads of low priority wait for a slot, or none does any more."""
        self.parked = parked
        self.freed.set()

    @property
    def idle(self) -> bool:
        """Whether no lead is in work but those whose end is being recorded, and may be over by now."""
        return not self._in_work

    async def some(self) -> int:
        """Wait for a free slot for what the stream holds; how many there are.

        Where leads are in work, a moment (the longer, the longer leads take) is waited for two fifths of the
        slots to be free: so that a busy instance does not spend a read and a script on each lead.
        """
        if self._in_work or self._ending:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(_GATHER_S, self._rhythm.gather_s())):
                    while self.to_read < int(self.most * _WORTH_A_READ):
                        await self.change()
        while not self.to_read:
            await self.change()
        return self.to_read

    async def change(self) -> None:
        """Wait until a slot may have become free."""
        self.freed.clear()
        await self.freed.wait()

    @contextmanager
    def claiming(self, count: int) -> Iterator[None]:
        """So many entries were read and are about to be entered."""
        self._claimed += count
        try:
            yield
        finally:
            self._claimed -= count
            self.freed.set()

    @contextmanager
    def asking(self, entries: Sequence[Entry]) -> Iterator[int]:
        """Entries are being entered: how many of low priority may start."""
        low = min(self.low_free, sum(entry.is_low for entry in entries))
        self._low_asked += low
        try:
            yield low
        finally:
            self._low_asked -= low

    def started(self, work: Work) -> None:
        """A lead is in work, or waits for a worker."""
        self._in_work += 1
        self._low += work.takes_low_slot

    def ending(self, work: Work) -> None:
        """A lead's end is about to be recorded: its slot is free meanwhile."""
        self._in_work -= 1
        self._low -= work.takes_low_slot
        self._ending += 1
        self._pace.ended()
        self.freed.set()

    def over(self, work: Work, *, ending: bool) -> None:
        """A lead is out of our hands; ``ending``: its end was being recorded."""
        if ending:
            self._ending -= 1
        else:
            self._in_work -= 1
            self._low -= work.takes_low_slot
        self.freed.set()
