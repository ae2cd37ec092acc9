"""What operators do: replay and discard dead letters, see a payload or a message; noted before it is done.

The operator API and the console both act through here.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from ops.audit import Actor, Audit, storable
from ops.dead import DeadLetter, DeadLetters, Filter
from ops.inspect import read_stories
from ops.postgres import translated
from ops.redis import Client
from ops.settings import Settings, rate_interval_s
from ops.telling import HIDDEN, hidden_message, message_of, opened
from schema.codec import PayloadCodec
from schema.errors import CodecError
from schema.identity import CLOSE
from schema.lead import Customer, lead_of

MOST_AT_ONCE = 1000
_PAYLOAD = "SELECT coalesce(payload, '') FROM event_log WHERE event_id = $1 AND type = 'webhook_accepted'"


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters by filter, or by their events' ids."""

    which: Filter
    events: frozenset[str] = frozenset()

    def takes(self, letter: DeadLetter) -> bool:
        return not self.events or letter.event.event_id in self.events

    def words(self) -> str:
        """For the audit; ids, codes and times only."""
        named = [("event", self.which.event_id), ("lead", self.which.lead_id), ("code", self.which.code)]
        parts = [f"{name} {value}" for name, value in named if value]
        if self.which.since is not None:
            parts.append(f"since {self.which.since:%Y-%m-%dT%H:%M:%SZ}")
        parts += sorted(self.events)[:5]
        if len(self.events) > 5:  # noqa: PLR2004 -- a list that people read
            parts.append(f"and {len(self.events) - 5} more")
        return ", ".join(parts) or "all"


@dataclass(frozen=True, slots=True)
class Cost:
    """What replaying some letters takes.

    Attributes:
        letters: how many; never more than `MOST_AT_ONCE`.
        left: whether there are more of them than that.
        calls_least: C2S calls where every message turns out to be there already.
        calls_most: C2S calls where none is.
        seconds_most: for so many calls within ``C2S_RATE_LIMIT``, with nothing else to do.
    """

    letters: int
    left: bool
    calls_least: int
    calls_most: int
    seconds_most: float


class Operating:
    """Acts for an operator."""

    def __init__(
        self, settings: Settings, pool: asyncpg.Pool, client: Client, codec: PayloadCodec, audit: Audit
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.codec = codec
        self.audit = audit
        self.dead = DeadLetters(client, settings)

    async def cost(self, selection: Selection) -> Cost:
        """What replaying them would take; nothing is done.

        Raises:
            StorageUnavailable: Redis is away.
        """
        letters = least = most = 0
        async for letter in self._selected(selection):
            letters += 1
            if letters > MOST_AT_ONCE:
                break
            calls = self._calls(letter)
            least, most = least + calls[0], most + calls[1]
        seconds = most * rate_interval_s(self.settings.c2s_rate_limit)
        return Cost(min(letters, MOST_AT_ONCE), letters > MOST_AT_ONCE, least, most, seconds)

    async def replay(self, actor: Actor, selection: Selection, reason: str) -> int:
        """Put them back to work, at most `MOST_AT_ONCE` of them; how many.

        Raises:
            StorageUnavailable: Redis or Postgres is away; whatever was replayed is well, the rest can follow.
        """
        noted = await self.audit.note(actor, "dead_replayed", selection.words(), reason)
        done = 0
        try:
            async for letter in self._selected(selection, MOST_AT_ONCE):
                await self.dead.replay(letter, storable(reason))
                done += 1
        finally:
            await self.audit.done(noted, done)
        return done

    async def discard(self, actor: Actor, selection: Selection, reason: str) -> int:
        """Take them away for good, at most `MOST_AT_ONCE` of them; how many.

        Raises:
            StorageUnavailable: Redis or Postgres is away.
        """
        noted = await self.audit.note(actor, "dead_discarded", selection.words(), reason)
        done = 0
        try:
            async for letter in self._selected(selection, MOST_AT_ONCE):
                await self.dead.discard(letter)
                done += 1
        finally:
            await self.audit.done(noted, done)
        return done

    async def payload(self, actor: Actor, event_id: str, reason: str) -> str | None:
        """An event's raw body in clear; None where the archive has none of it (yet).

        Raises:
            StorageUnavailable: Postgres is away.
        """
        stored = await self._stored(event_id)
        if stored is None:
            return None
        noted = await self.audit.note(actor, "payload_revealed", event_id, reason)
        clear = opened(self.codec, event_id, "payload", stored)
        await self.audit.done(noted, 1)
        return clear

    async def message(self, actor: Actor, event_id: str, reason: str) -> str | None:
        """The message that an event sent or prepared, in clear; None where it has none.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        found = await read_stories(self.settings, event_id)
        story = next((story for story in found.stories if hidden_message(story)), None)
        if story is None:
            return None
        noted = await self.audit.note(actor, "message_revealed", event_id, reason)
        clear = message_of(story, self.codec)
        await self.audit.done(noted, 1)
        return clear

    async def masked(self, event_id: str) -> Any:
        """An event's body with its values hidden; None where the archive has none of it.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        stored = await self._stored(event_id)
        return None if stored is None else masked(self.codec, event_id, stored)

    async def _stored(self, event_id: str) -> str | None:
        with translated("reading a payload"):
            found: str | None = await self.pool.fetchval(_PAYLOAD, UUID(event_id))
        return found or None

    async def _selected(self, selection: Selection, most: int | None = None) -> AsyncIterator[DeadLetter]:
        # What dies again meanwhile is a new letter: it is not replayed a second time.
        now, count = datetime.now(UTC), 0
        async for letter in self.dead.found(selection.which):
            if selection.takes(letter) and letter.at <= now:
                yield letter
                count += 1
                if count == most:
                    return

    def _calls(self, letter: DeadLetter) -> tuple[int, int]:
        """C2S calls of one replay: it reads before it sends, and fetches a lead that the webhook lacks."""
        if letter.event.action == CLOSE:
            return 0, 0
        return 1, 2 + (self._customer(letter) is None)

    def _customer(self, letter: DeadLetter) -> Customer | None:
        event = letter.event
        try:
            body = orjson.loads(self.codec.open(event.event_id, "payload", event.payload))
        except (CodecError, orjson.JSONDecodeError):
            return None
        return lead_of(event.lead_id, body).customer


_SHOWN = frozenset({"id", "lead_id", "action", "hook_action", "type", "status", "updated_at", "created_at"})
_SHOWN |= {"timestamp", "internal_id"}


def masked(codec: PayloadCodec, event_id: str, stored: str) -> Any:
    """A stored body with its values hidden."""
    try:
        return mask(orjson.loads(codec.open(event_id, "payload", stored)))
    except (CodecError, orjson.JSONDecodeError):
        return HIDDEN


def mask(value: Any, name: str = "") -> Any:
    """A body as it stands, its values hidden but for ids, actions, states and times."""
    if isinstance(value, dict):
        return {key: mask(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [mask(inner, name) for inner in value]
    if value is None or isinstance(value, bool) or (name in _SHOWN and not isinstance(value, float)):
        return value
    return HIDDEN
