"""Erasing in Redis: what the streams, leads and steps hold of somebody goes; ends stay, without text."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.recover import ensure_groups
from ops.redis import Client, run, translated
from ops.settings import Settings
from ops.unprojected import position
from schema import erasing
from schema.erasing import MARK, PERSONAL
from schema.events import LeadProcessed, WebhookDuplicated, text_fields
from schema.identity import dedup_key
from schema.keys import Keys

_PAGE = 500


@dataclass(slots=True)
class Swept:
    """What one pass found.

    Attributes:
        events: lead id of every event that the streams held.
        bodies: sealed texts seen: (event id, field, text), for the caches.
        working: leads that were in work.
        counts: entries removed, by stream.
    """

    events: dict[str, str] = field(default_factory=dict)
    bodies: list[dict[str, str]] = field(default_factory=list)
    working: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, place: str, number: int = 1) -> None:
        self.counts[place] = self.counts.get(place, 0) + number


@dataclass(frozen=True, slots=True)
class _Mine:
    """Which entries are meant: all of some leads, and those of events known by their id."""

    leads: Collection[str]
    events: Collection[str]

    def takes(self, flat: Mapping[str, str]) -> bool:
        return flat.get("lead_id") in self.leads or flat.get("event_id", flat.get("id")) in self.events


class StreamEraser:
    """One pass over the streams of an erasure's leads."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def sweep(
        self,
        erasure_id: str,
        leads: Collection[str],
        events: Mapping[str, str],
        checkpoints: Mapping[tuple[int, str], str],
        *,
        whole: bool,
    ) -> Swept:
        """Take away what there is.

        Args:
            erasure_id: kept with the tombstones.
            leads: whose.
            events: lead id by event id, as far as they are known.
            checkpoints: how far the projector is: what it has not seen keeps its end, without text.
            whole: everything of the leads, not only the events known.
        """
        swept, s = Swept(), self._settings
        await ensure_groups(self._client, s.partitions.served, s.steps_ttl_secs)
        known = {*events}
        # Every partition: what is over lies where its lead was before the number of partitions was changed.
        for partition in range(s.partitions.served):
            keys = Keys(partition)
            ours = {x for x in leads if partition in s.partitions.places(x)}
            mine = _Mine(leads if whole else frozenset(), known)
            await self._webhooks(keys, erasure_id, swept, mine, events, ours)
            known |= set(swept.events)
            last = checkpoints.get((partition, "outcomes"), "0-0")
            await self._outcomes(keys, last, swept, mine)
            async for entry_id, _ in self._rows(keys.forwards, mine):
                swept.count("forwards stream", await self._client.xdel(keys.forwards, entry_id))
        return swept

    async def forget(self, rows: Collection[Mapping[str, Any]]) -> None:
        """Steps go; dedup keys are marked. ``rows``: event_id, lead_id, hook_action, version."""
        ttl_s, partitions = self._settings.dedup_ttl_secs, self._settings.partitions
        with translated("marking dedup keys"):
            async with self._client.pipeline(transaction=False) as pipe:
                for row in rows:
                    name = dedup_key(row["lead_id"], row["hook_action"], row["version"])
                    home, text = partitions.home(row["lead_id"]), f"{row['event_id']}{MARK}"
                    for partition in range(partitions.served):
                        keys = Keys(partition)
                        pipe.set(keys.dedup(name), text, ex=ttl_s, xx=partition != home)
                        pipe.delete(keys.steps(row["event_id"]))
                await pipe.execute()

    async def tombstones(self) -> dict[str, tuple[str, str]]:
        """Lead and erasure of every event that Redis remembers as erased."""
        found: dict[str, tuple[str, str]] = {}
        for partition in range(self._settings.partitions.served):
            with translated("reading tombstones"):
                rows: Any = await self._client.hgetall(Keys(partition).erased)
            for event_id, text in rows.items():
                lead, _, erasure = text.decode().rpartition("|")
                found[event_id.decode()] = (lead, erasure)
        return found

    async def _webhooks(  # noqa: PLR0917 -- what a pass has at hand
        self,
        keys: Keys,
        erasure_id: str,
        swept: Swept,
        mine: "_Mine",
        events: Mapping[str, str],
        leads: Collection[str],
    ) -> None:
        entries: dict[str, list[str]] = {}
        letters: dict[str, list[str]] = {}
        rows = []
        for stream, by_lead in ((keys.webhooks, entries), (keys.dead, letters)):
            async for entry_id, flat in self._rows(stream, mine):
                by_lead.setdefault(flat["lead_id"], []).append(entry_id)
                swept.events[flat["event_id"]] = flat["lead_id"]
                swept.bodies.append(flat)
                rows.append({**flat, "hook_action": flat["action"], "version": flat.get("version", "")})
        for lead in sorted({*leads, *entries, *letters}):
            call = erasing.erase(
                keys,
                lead,
                instance=self._settings.instance,
                erasure_id=erasure_id,
                entry_ids=entries.get(lead, []),
                letter_ids=letters.get(lead, []),
                event_ids=[*{e for e, of in {**events, **swept.events}.items() if of == lead}],
                queue=lead in mine.leads and lead in leads,
            )
            taken = erasing.read_erase(await run(self._client, call))
            swept.events |= dict.fromkeys(taken.event_ids, lead)
            swept.count("webhooks stream", taken.entries)
            swept.count("dead letters", taken.letters)
            if taken.working:
                swept.working.add(lead)
        if rows:
            await self.forget(rows)

    async def _outcomes(self, keys: Keys, last: str, swept: Swept, mine: "_Mine") -> None:
        async for entry_id, flat in self._rows(keys.outcomes, mine):
            if not any(flat.get(name) for name in PERSONAL):
                continue
            swept.events[flat["event_id"]] = flat["lead_id"]
            swept.bodies.append(flat)
            bare = {name: text for name, text in flat.items() if name not in PERSONAL}
            unseen = position(entry_id) > position(last) and flat["type"] != WebhookDuplicated.type
            with translated("erasing an outcome"):
                async with self._client.pipeline(transaction=True) as pipe:
                    if unseen:
                        pipe.xadd(keys.outcomes, bare)  # type: ignore[arg-type]  # text is what it takes
                    pipe.xdel(keys.outcomes, entry_id)
                    await pipe.execute()
            swept.count("messages" if flat["type"] == LeadProcessed.type else "outcomes stream")

    async def _rows(self, stream: str, mine: "_Mine") -> AsyncIterator[tuple[str, dict[str, str]]]:
        """The entries of a stream that are meant."""
        start = "-"
        while True:
            with translated("reading a stream"):
                rows: Any = await self._client.xrange(stream, start, "+", count=_PAGE)
            for raw_id, fields in rows:
                try:
                    flat = text_fields(fields)
                except UnicodeDecodeError:
                    continue
                if mine.takes(flat):
                    yield raw_id.decode(), flat
            if len(rows) < _PAGE:
                return
            start = f"({rows[-1][0].decode()}"
