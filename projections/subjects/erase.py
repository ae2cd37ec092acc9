"""Erase: nothing of a person can be read anywhere of ours, and nothing brings it back.

1. The erasure is noted and tombstones are written (Postgres): from then on the projector records the facts of
   these events without personal data, and neither `recover` nor a processor puts them back to work.
2. Redis: a lead's lease is taken away with its entries, so whoever works on it can record and send nothing
   more; an event that was not over ends with the outcome `event_ignored: erased`. Dedup keys stay, marked.
3. Postgres: one transaction redacts the rows and the archive alike (`projections.subjects.rows`).
4. Caches of look-ups about the person go.
5. All of it once more, after the heartbeat that stops whoever was at work: until a pass finds nothing.

What was sent cannot be called back: a POST that is under way when the lease goes may still reach C2S.
Interrupted anywhere, `reapply` carries it on; the same makes it good again after a restored Redis or
Postgres, because the tombstones are kept in both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import structlog

from ops.fingerprint import Fingerprints
from ops.redis import Client, translated
from ops.settings import Settings
from ops.subjects import Found, Identifier, groups_of
from projections.archive import restored
from projections.subjects.rows import bury, redact
from projections.subjects.streams import StreamEraser
from schema.codec import PayloadCodec
from schema.errors import CodecError
from schema.events import EventError, decode
from schema.keys import CACHED, cache_keys, cached_name

log = structlog.get_logger()

_PASSES = 5
_MARGIN_S = 1.0
_LOOK_UPS = ("phone", "email", "cpf", "lead")

_BEGIN = (
    "INSERT INTO subject_erasures (id, actor, reason, hashes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)
_END = "UPDATE subject_erasures SET finished_at = NOW(), counts = $2 WHERE id = $1 AND finished_at IS NULL"
_HASHES = "SELECT hash FROM subject_index WHERE subject_id = ANY($1::uuid[])"
_EVENTS = """
SELECT id::text AS event_id, lead_id FROM webhook_events WHERE lead_id = ANY($1)
UNION SELECT event_id::text, lead_id FROM ingress_spool WHERE lead_id = ANY($1)
"""
_NAMES = """
SELECT id::text AS event_id, lead_id, hook_action, coalesce(version, '') AS version FROM webhook_events
WHERE id = ANY($1::uuid[])
UNION SELECT event_id::text, lead_id, action, version FROM ingress_spool WHERE event_id = ANY($1::uuid[])
"""
_ARCHIVED = """
SELECT partition, stream, entry_id, type, event_id, lead_id, hook_action, fields, payload FROM event_log
WHERE event_id = ANY($1::uuid[]) AND (payload <> '' OR fields ? 'enrichment')
"""
_CHECKPOINTS = "SELECT partition, stream, entry_id FROM projection_checkpoints WHERE name = 'main'"
_TOMBSTONES = "SELECT event_id::text, lead_id, erasure_id FROM erased_events"


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        complete: the last pass found nothing any more.
        counts: what was removed, by place.
    """

    erasure_id: UUID
    complete: bool
    counts: dict[str, int]


class Eraser:
    """Erases over one connection to Postgres, which nothing else may use meanwhile."""

    def __init__(
        self,
        conn: asyncpg.Connection,
        client: Client,
        settings: Settings,
        codec: PayloadCodec,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._conn = conn
        self._client = client
        self._settings = settings
        self._codec = codec
        self._streams = StreamEraser(client, settings)
        self._sleep = sleep

    async def erase(self, found: Found, *, actor: str, reason: str) -> Erased:
        """Erase everything of the leads found.

        Raises:
            StorageUnavailable: Redis or Postgres is away; `reapply` carries it on.
        """
        erasure_id = uuid4()
        hashes = {row["hash"] for row in await self._conn.fetch(_HASHES, list(found.subjects))}
        await self._conn.execute(_BEGIN, erasure_id, actor, reason, sorted(hashes | set(found.hashes)))
        rows = await self._conn.fetch(_EVENTS, list(found.leads))
        events = {row["event_id"]: row["lead_id"] for row in rows}
        return await self._until_nothing(erasure_id, found.leads, events, whole=True)

    async def reapply(self) -> int:
        """Bring the tombstones of Redis and Postgres together, and erase anew what has come back; how many
        events.

        Raises:
            StorageUnavailable: as `erase`.
        """
        rows = await self._conn.fetch(_TOMBSTONES)
        every = {row["event_id"]: (row["lead_id"], str(row["erasure_id"])) for row in rows}
        every = {**await self._streams.tombstones(), **every}
        by_erasure: dict[str, dict[str, str]] = {}
        for event_id, (lead, erasure) in every.items():
            by_erasure.setdefault(erasure, {})[event_id] = lead
        for erasure, events in by_erasure.items():
            await self._conn.execute(_BEGIN, UUID(erasure), "unknown", "restored from Redis", [])
            await self._until_nothing(UUID(erasure), {*events.values()}, events, whole=False)
        return len(every)

    async def _until_nothing(
        self, erasure_id: UUID, leads: Collection[str], events: dict[str, str], *, whole: bool
    ) -> Erased:
        counts: dict[str, int] = {}
        named: set[Identifier] = set()
        for number in range(_PASSES):
            named |= await self._archived(events)
            working, some = await self._pass(erasure_id, leads, events, named, whole=whole)
            for place, count in some.items():
                counts[place] = counts.get(place, 0) + count
            if not any(some.values()) and number:
                break
            if working:
                # Whoever was at work learns of it by a heartbeat; until then a look-up may still be cached.
                await self._sleep(self._settings.heartbeat_secs + _MARGIN_S)
        complete = not any(some.values())
        kept = {place: count for place, count in counts.items() if count} | {"events": len(events)}
        if complete:
            await self._conn.execute(_END, erasure_id, orjson.dumps(kept).decode())
        log.info("subject.erased", erasure_id=str(erasure_id), events=len(events), complete=complete)
        return Erased(erasure_id, complete, kept)

    async def _pass(
        self,
        erasure_id: UUID,
        leads: Collection[str],
        events: dict[str, str],
        named: set[Identifier],
        *,
        whole: bool,
    ) -> tuple[bool, dict[str, int]]:
        await bury(self._conn, erasure_id, events)
        rows = await self._conn.fetch(_CHECKPOINTS)
        checkpoints = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
        # What the spool holds could be appended behind the sweep, so it goes before.
        names = await self._conn.fetch(_NAMES, [UUID(event_id) for event_id in events])
        await self._streams.forget([dict(row) for row in names])
        swept = await self._streams.sweep(str(erasure_id), leads, events, checkpoints, whole=whole)
        for flat in swept.bodies:
            named |= self._named(flat)
        events |= swept.events
        counts = await redact(self._conn, self._codec, erasure_id, events, leads, whole=whole)
        counts["look-ups cached"] = await self._caches(named, events)
        return bool(swept.working), {**counts, **swept.counts}

    async def _archived(self, events: Mapping[str, str]) -> set[Identifier]:
        """Whom the archive names in these events."""
        rows = await self._conn.fetch(_ARCHIVED, [UUID(event_id) for event_id in events])
        found: set[Identifier] = set()
        for row in rows:
            found |= self._named(restored(dict(row)).fields)
        return found

    def _named(self, flat: Mapping[str, str]) -> set[Identifier]:
        try:
            return {i for group in groups_of(decode(flat), self._codec) for i in group}
        except (CodecError, EventError):
            return set()  # nobody can read it, so nobody was looked up by it here

    async def _caches(self, named: Collection[Identifier], events: Collection[str]) -> int:
        """Forget look-ups for these events or by these identifiers, or whose answer names them."""
        asked = [("lead", event_id) for event_id in events] + [(i.kind, i.text) for i in named]
        if not asked:
            return 0
        fingerprints = Fingerprints.of_settings(self._settings)
        count = 0
        with translated("forgetting look-ups"):
            for kind, text in asked:
                count += await self._client.delete(cache_keys(fingerprints.of(kind, text))[0])
            texts = [identifier.text for identifier in named]
            async for key in self._client.scan_iter(match=CACHED, count=500):
                stored: Any = await self._client.get(key)
                clear = self._answer(key.decode(), (stored or b"").decode())
                if any(text in clear for text in texts):
                    count += await self._client.delete(key)
        return count

    def _answer(self, key: str, stored: str) -> str:
        name = cached_name(key)
        for kind in _LOOK_UPS:
            try:
                return self._codec.open(name, kind, stored)
            except CodecError:
                continue
        return ""
