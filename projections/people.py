"""`people` and `lead_people`: what enrichment found, already reduced to the allow-list by the processor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog

from projections.batch import Fact, columns, events
from schema.codec import PayloadCodec
from schema.errors import CodecError
from schema.events import LeadProcessed

log = structlog.get_logger()

_PEOPLE = """
INSERT INTO people AS p (cpf, name, profile, updated_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
ON CONFLICT (cpf) DO UPDATE SET name = coalesce(excluded.name, p.name),
    profile = coalesce(excluded.profile, p.profile), updated_at = excluded.updated_at
WHERE excluded.updated_at >= p.updated_at
"""

_LEAD_PEOPLE = """
INSERT INTO lead_people (lead_id, person_id, contact_kind, event_id)
SELECT x.lead_id, p.id, x.contact_kind, x.event_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) AS x(lead_id, cpf, contact_kind, event_id)
JOIN people p USING (cpf)
ON CONFLICT (lead_id, person_id)
DO UPDATE SET contact_kind = excluded.contact_kind, event_id = excluded.event_id
"""


@dataclass(frozen=True, slots=True)
class _Person:
    cpf: str
    name: str | None
    profile: str | None
    contact_kind: str


class PeopleProjection:
    """Opens what the outcome carries sealed, and writes persons and their leads."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec

    async def apply(self, conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
        """Bring both tables up to date with a batch."""
        people: dict[str, tuple[str | None, str | None, datetime]] = {}
        links: dict[tuple[str, str], tuple[str, UUID]] = {}
        for fact, event in events(facts):
            if not isinstance(event, LeadProcessed):
                continue
            for person in self._found(event):
                name, profile, _ = people.get(person.cpf, (None, None, None))
                people[person.cpf] = (person.name or name, person.profile or profile, fact.at)
                links[event.lead_id, person.cpf] = (person.contact_kind, UUID(event.event_id))
        if people:
            # In one order everywhere, so that two writers could never deadlock.
            await conn.execute(_PEOPLE, *columns([(cpf, *people[cpf]) for cpf in sorted(people)]))
            await conn.execute(_LEAD_PEOPLE, *columns([(*key, *link) for key, link in sorted(links.items())]))

    def _found(self, event: LeadProcessed) -> list[_Person]:
        if not event.enrichment:
            return []
        try:
            clear = self._codec.open(event.event_id, "enrichment", event.enrichment)
            return [_person(item) for item in orjson.loads(clear)["people"]]
        except (CodecError, ValueError, TypeError, LookupError) as error:
            # Only the kind: the decoder's words could quote a person.
            log.error("enrichment.unreadable", event_id=event.event_id, kind=type(error).__name__)  # noqa: TRY400
            return []


def _person(item: dict[str, Any]) -> _Person:
    profile, name = item.get("profile"), item.get("name")
    text = orjson.dumps(profile).decode() if profile else None
    return _Person(_text(item["cpf"]), _text(name) if name else None, text, _text(item["contact_kind"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value.replace("\x00", "")
