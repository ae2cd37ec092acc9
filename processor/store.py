"""The engine's view of one partition in Redis: read, enter, renew, record, finish, tick.

Concurrent calls share round trips. Blocking reads have a connection of their own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from redis.exceptions import ResponseError

from ops.batcher import Batcher
from ops.crashpoints import reached
from ops.durable import Durability
from ops.recover import mark_read
from ops.redis import Client, run, translated
from ops.settings import Settings
from ops.unprojected import position
from processor.rhythm import Rhythm
from processor.work import INTENT, Work
from schema import calls, holding
from schema.calls import Entered, Entry, Finished, Finishing, Lease
from schema.errors import LeaseLost
from schema.events import EventError, WebhookAccepted, decode, text_fields
from schema.holding import Note
from schema.keys import GROUP, Keys
from schema.ticking import Ticked, read_tick, sweep
from schema.ticking import tick as ticking

log = structlog.get_logger()

_MOST_PER_CALL = 100
_LEFT_BEHIND_S = 3600.0


class LeadStore:
    """One partition's streams and leads, as one instance sees them."""

    def __init__(
        self,
        keys: Keys,
        commands: Client,
        reader: Client,
        settings: Settings,
        *,
        rhythm: Rhythm | None = None,
        durability: Durability | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            keys: of the partition.
            commands: for short commands.
            reader: for blocking reads.
            settings: ours.
            rhythm: of this instance's attempts; by default one of its own.
            durability: what must hold before a send intent counts; None asks for nothing.
        """
        self.keys = keys
        self.rhythm = rhythm or Rhythm()
        self._commands = commands
        self._reader = reader
        self._settings = settings
        self._instance = settings.instance
        self._durability = durability
        gather_s = self.rhythm.gather_s
        self._records: Batcher[Note, int] = Batcher(
            self._flush_records, most=_MOST_PER_CALL, gather_s=gather_s
        )
        self._finishes: Batcher[Finishing, Finished] = Batcher(
            self._flush_finishes, most=_MOST_PER_CALL, gather_s=gather_s
        )
        self.take_next = True

    async def has_group(self) -> bool:
        """Whether stream and group are there."""
        with translated("looking for the consumer group"):
            try:
                groups: Any = await self._commands.xinfo_groups(self.keys.webhooks)
            except ResponseError as error:
                if "no such key" in str(error):
                    return False
                raise
        return any(group["name"] == GROUP.encode() for group in groups)

    async def ensure_group(self, start: str = "0") -> bool:
        """Create stream and group where they are missing; True where they were.

        Args:
            start: the entry after which the group reads; the stream's beginning where it does not reach so
                far (it was made anew).
        """
        with translated("creating the consumer group"):
            last: Any = await self._commands.xrevrange(self.keys.webhooks, count=1)
            last_id = last[0][0].decode() if last else "0"
            if position(last_id) < position(start):
                start = "0"
            await mark_read(self._commands, self.keys, self._settings.steps_ttl_secs)
            try:
                await self._commands.xgroup_create(self.keys.webhooks, GROUP, start, mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" in str(error):
                    return False
                raise
        return True

    async def read(self, count: int, block_s: float) -> list[Entry]:
        """New entries for this instance, at most ``count``; blocks up to ``block_s`` seconds.

        Raises:
            StorageUnavailable: Redis is away.
            ResponseError: the stream or group is gone (see `is_group_gone`).
        """
        with translated("reading new webhooks"):
            reply: Any = await self._reader.xreadgroup(
                GROUP, self._instance, {self.keys.webhooks: ">"}, count=count, block=round(block_s * 1000)
            )
        rows = [row for _, rows in reply or [] for row in rows]
        return await self.decoded([(i.decode(), text_fields(f)) for i, f in rows])

    async def decoded(self, rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[Entry]:
        """Entries of raw rows; what does not decode is logged and acked, for it never will."""
        entries = []
        for entry_id, fields in rows:
            try:
                event = decode(fields)
            except EventError as error:
                log.error("stream.undecodable", entry_id=entry_id, error=str(error))  # noqa: TRY400 -- its text says it all
                await self.forget([entry_id])
                continue
            if isinstance(event, WebhookAccepted):
                entries.append(Entry(entry_id, event))
        return entries

    async def forget(self, entry_ids: Sequence[str]) -> None:
        """Take entries out of the pending entries list without any outcome."""
        with translated("acking"):
            await self._commands.xack(self.keys.webhooks, GROUP, *entry_ids)

    async def enter(self, entries: Sequence[Entry], *, wake: bool, low_slots: int = 1_000) -> list[Entered]:
        """Ask to work on entries in this instance's hands; see `schema.calls.enter`."""
        reached("enter.before")
        s = self._settings
        call = calls.enter(
            self.keys,
            entries,
            instance=self._instance,
            lease_ttl_s=s.lease_ttl_secs,
            steps_ttl_s=s.steps_ttl_secs,
            wake=wake,
            low_slots=low_slots,
            update_settle_s=s.update_settle_secs,
        )
        reply = calls.read_enter(await run(self._commands, call), self.keys, entries, self._instance)
        reached("enter.after")
        return reply

    async def renew(self, held: Sequence[tuple[Lease, str]]) -> list[bool]:
        """Heartbeat; False for each lease that was lost."""
        call = holding.renew(
            self.keys, held, instance=self._instance, lease_ttl_s=self._settings.lease_ttl_secs
        )
        return [reply == 1 for reply in await run(self._commands, call)]

    async def record(
        self, lease: Lease, event_id: str, steps: Mapping[str, str], *, hurry: bool = True
    ) -> None:
        """Note steps, all of them or none; without hurry they may wait a moment for those of others.

        Raises:
            LeaseLost: another owns the lead; nothing was changed.
        """
        reached("step.before")
        if not await self._records.put(Note(lease, event_id, steps), hurry=hurry):
            raise LeaseLost(f"the lease was lost before {', '.join(steps)} of event {event_id} was recorded")
        reached("step.after")

    async def save(self, work: Work) -> None:
        """Note the steps of an attempt that are not recorded yet.

        Raises:
            LeaseLost: as `record`.
        """
        if work.unrecorded:
            await self.record(work.lease, work.event.event_id, dict(work.unrecorded), hurry=False)
            work.unrecorded.clear()

    def finish(self, item: Finishing) -> "asyncio.Future[Finished]":
        """End an attempt, with others'; see `schema/lua/finish.lua`. It is recorded whoever waits for it."""
        reached("finish.before")
        return self._finishes.put(item)

    async def tick(self, most: int, cursor: str, *, low_slots: int = 1_000) -> Ticked:
        """Claim due retries, parked entries and what crashed owners left."""
        call = ticking(
            self.keys,
            instance=self._instance,
            min_idle_s=self._settings.reclaim_idle_secs,
            most=most,
            cursor=cursor,
            low_slots=low_slots,
        )
        return read_tick(await run(self._commands, call))

    async def sweep(self) -> None:
        """Drop the consumers that dead instances left; see `schema/lua/sweep.lua`."""
        idle_s = max(_LEFT_BEHIND_S, self._settings.block_secs * 10)
        count = await run(self._commands, sweep(self.keys, instance=self._instance, min_idle_s=idle_s))
        if count:
            log.info("group.swept", consumers=count)

    async def leave(self) -> None:
        """Drop this instance's consumer, only where nothing is pending for it (it would be lost)."""
        with translated("leaving the group"):
            rows = await self._commands.xpending_range(
                self.keys.webhooks, GROUP, "-", "+", 1, consumername=self._instance
            )
            if not rows:
                await self._commands.xgroup_delconsumer(self.keys.webhooks, GROUP, self._instance)

    async def _flush_records(self, notes: Sequence[Note]) -> Sequence[int]:
        call = holding.record(self.keys, notes, steps_ttl_s=self._settings.steps_ttl_secs)
        if self._durability and any(INTENT in note.steps for note in notes):
            kept: list[int] = await self._durability.run(self._commands, call)
            return kept
        reply: list[int] = await run(self._commands, call)
        return reply

    async def _flush_finishes(self, items: Sequence[Finishing]) -> Sequence[Finished]:
        call = calls.finish(
            self.keys,
            items,
            instance=self._instance,
            steps_ttl_s=self._settings.steps_ttl_secs,
            take_next=self.take_next,
        )
        reply = calls.read_finish(await run(self._commands, call))
        reached("finish.after")
        return reply


def is_group_gone(error: Exception) -> bool:
    """Whether a reply says that the stream or its group vanished.

    Redis 6.2 says NOGROUP; Redis 7 answers a blocked reader ``UNBLOCKED the stream key no longer exists``.
    """
    text = str(error)
    return "NOGROUP" in text or "UNBLOCKED" in text or "no such key" in text
