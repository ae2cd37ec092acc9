"""A lead in two places, while the number of partitions is being changed (docs/scaling.md).

Processes that know both numbers append a lead's webhooks to one place or the other, each with a queue and a
lease of its own. So whoever holds the lead's lease in one looks at the other before anything else:

* an older entry there goes first, and so does one that is in work there: this one is handed back for a while.
  The lease is taken before the other place is looked at, so of two that look at the same time at least one
  sees the other; the younger is handed back at once and the older looks again, so neither waits for ever.
* the event itself was accepted there too (two doors took it at once, or its dead letter was replayed in its
  new home): the lead is read before anything is sent, after what may have been sent there has settled.
* the contact that the lead's last event had is the one noted last, wherever that was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ops.redis import Client, run
from ops.unprojected import position
from processor.send import SETTLE
from processor.store import LeadStore
from processor.work import Work
from schema import elsewhere
from schema.elsewhere import Seen
from schema.errors import Throttled
from schema.identity import UPDATE, Partitions
from schema.keys import Keys

_SHARE = 4  # of the time that an entry has waited, it waits so much longer before it looks again
_LONGEST_S = 60.0
_PAUSES_S = (0.05, 0.1, 0.2)  # within which a younger entry, that only looked, has been handed back

Before = Callable[[Work], Awaitable[None]]


async def nowhere_else(_work: Work) -> None:
    """There is one place for each lead."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Looks at the other place of each lead of a partition."""

    store: LeadStore
    commands: Client
    partitions: Partitions

    async def __call__(self, work: Work) -> None:
        """Let an attempt go on that runs alone, knowing what it must.

        Raises:
            Throttled: the lead has an older entry in another place, or one in work there.
            StorageUnavailable: Redis is away.
            LeaseLost: another owns the lead.
        """
        here = self.store.keys
        others = [Keys(p) for p in self.partitions.places(work.event.lead_id) if p != here.partition]
        if not others:
            return
        work.step = "elsewhere"
        mine, *seen = await self._alone(work, [here, *others])
        if any(there.accepted for there in seen):
            await self._doubt(work)
        if work.event.action == UPDATE:
            latest = max((mine, *seen), key=lambda one: one.contact_left_ms)
            work.contact = latest.contact

    async def _alone(self, work: Work, places: Sequence[Keys]) -> list[Seen]:
        """What each place has of the lead, once nothing in another goes first."""
        here = places[0]
        for pause_s in (*_PAUSES_S, None):
            seen = await asyncio.gather(*(self._look(keys, work) for keys in places))
            others = list(zip(places, seen, strict=True))[1:]
            if any(_goes_first(there.head, keys, work.entry.entry_id, here) for keys, there in others):
                raise _wait(work)
            if not any(there.in_work for _, there in others):
                return seen
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        raise _wait(work)

    async def _look(self, keys: Keys, work: Work) -> Seen:
        return elsewhere.read_look(await run(self.commands, elsewhere.look(keys, work.event)))

    async def _doubt(self, work: Work) -> None:
        work.verify = True
        if SETTLE not in work.steps:
            work.steps[SETTLE] = f"{work.now_s():.3f}"
            await self.store.record(work.lease, work.event.event_id, {SETTLE: work.steps[SETTLE]})


def _goes_first(head: str, keys: Keys, entry_id: str, here: Keys) -> bool:
    return bool(head) and (position(head), keys.partition) < (position(entry_id), here.partition)


def _wait(work: Work) -> Throttled:
    waited_s = work.now_s() - position(work.entry.entry_id)[0] / 1000
    return Throttled(
        "the lead has an older webhook in another partition, which goes first",
        code="lead_elsewhere",
        retry_after_s=min(_LONGEST_S, max(0.0, waited_s / _SHARE)),
    )
