"""A lead in two places, while the number of partitions is being changed (docs/scaling.md).

Processes that know both numbers append a lead's webhooks to one place or the other, each with a queue and a
lease of its own. So whoever holds the lead's lease in one looks at the other before anything else:

* an older entry there goes first, and so does one that is in work there: this one is handed back for a while,
  which ends sooner where the processor that ends the other finds a note that somebody waits.
  The lease is taken before the other place is looked at, so of two that look at the same time at least one
  sees the other; the younger is handed back at once and the older looks again, so neither waits for ever.
* the event itself was accepted there too (two doors took it at once, or its dead letter was replayed in its
  new home): the lead is read before anything is sent, after what may have been sent there has settled.
* the contact that the lead's last event had is the one noted last, wherever that was.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from ops.redis import Client, run, translated
from ops.unprojected import position
from processor.send import SETTLE
from processor.store import LeadStore
from processor.work import Work
from schema import elsewhere
from schema.elsewhere import Seen
from schema.errors import StorageUnavailable, Throttled
from schema.identity import UPDATE, Partitions
from schema.keys import Keys

log = structlog.get_logger()

_SHARE = 4  # of the time that an entry has waited, it waits so much longer before it looks again
_LONGEST_S = 60.0
_NOTE_S = 3600
_PAUSES_S = (0.05, 0.1, 0.2)  # within which a younger entry, that only looked, has been handed back


class Places(Protocol):
    """What surrounds an attempt."""

    async def before(self, work: Work) -> None: ...
    async def after(self, work: Work) -> None: ...


class OnePlace:
    """Each lead has one: nothing to look for."""

    async def before(self, work: Work) -> None:
        """Go on."""

    async def after(self, work: Work) -> None:
        """Go on."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Looks at the other place of each lead of a partition."""

    store: LeadStore
    commands: Client
    partitions: Partitions

    async def before(self, work: Work) -> None:
        """Let an attempt go on that runs alone, knowing what it must.

        Raises:
            Throttled: the lead has an older entry in another place, or one in work there.
            StorageUnavailable: Redis is away.
            LeaseLost: another owns the lead.
        """
        others = self._others(work)
        if not others:
            return
        work.step = "elsewhere"
        mine, *seen = await self._alone(work, [self.store.keys, *others])
        if any(there.accepted for there in seen):
            await self._doubt(work)
        if work.event.action == UPDATE:
            latest = max((mine, *seen), key=lambda one: one.contact_left_ms)
            work.contact = latest.contact

    async def after(self, work: Work) -> None:
        """An event has ended: what waits for it elsewhere is due now, if somebody left a note."""
        if not self._others(work):
            return
        try:
            with translated("waking who waits elsewhere"):
                note: Any = await self.commands.getdel(self.store.keys.waiting(work.event.lead_id))
                if note is None:
                    return
                partition, _, entry_id = note.decode().partition("|")
                there = Keys(int(partition))
                await self.commands.zadd(there.retries, {entry_id: 1}, xx=True)
                await self.commands.publish(there.wake, self.store.keys.prefix)
        except StorageUnavailable as error:
            log.debug("elsewhere.not_told", error=str(error))

    def _others(self, work: Work) -> list[Keys]:
        here = self.store.keys.partition
        return [Keys(p) for p in self.partitions.places(work.event.lead_id) if p != here]

    async def _alone(self, work: Work, places: Sequence[Keys]) -> list[Seen]:
        """What each place has of the lead, once nothing in another goes first."""
        here, mine = places[0], work.entry.entry_id
        for pause_s in (*_PAUSES_S, None):
            seen = await asyncio.gather(*(self._look(keys, work) for keys in places))
            others = list(zip(places, seen, strict=True))[1:]
            for keys, there in others:
                if _goes_first(there.head, keys, mine, here):
                    await self._leave_note(work, keys)
                    raise _wait(work)
            if not any(there.in_work for _, there in others):
                return seen
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        raise _wait(work)

    async def _leave_note(self, work: Work, there: Keys) -> None:
        note = f"{self.store.keys.partition}|{work.entry.entry_id}"
        with translated("leaving a note"):
            await self.commands.set(there.waiting(work.event.lead_id), note, ex=_NOTE_S)

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
