"""`people` and `lead_people`: what enrichment found, already reduced to the allow-list by the processor."""

from collections.abc import Sequence
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
ON CONFLICT (cpf) DO UPDATE SET name = excluded.name, profile = coalesce(excluded.profile, p.profile),
    updated_at = excluded.updated_at
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


class PeopleProjection:
    """Opens what the outcome carries sealed, and writes persons and their leads."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec

    async def apply(self, conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
        """Bring both tables up to date with a batch."""
        people: dict[str, tuple[object, ...]] = {}
        links: dict[tuple[str, str], tuple[object, ...]] = {}
        for fact, event in events(facts):
            if not isinstance(event, LeadProcessed):
                continue
            for person in self._found(event):
                cpf, profile = person["cpf"], person.get("profile")
                text = orjson.dumps(profile).decode() if profile else None
                people[cpf] = (cpf, person.get("name"), text, fact.at)
                links[event.lead_id, cpf] = (
                    event.lead_id,
                    cpf,
                    person["contact_kind"],
                    UUID(event.event_id),
                )
        if people:
            # In one order everywhere, so that two writers could never deadlock.
            await conn.execute(_PEOPLE, *columns([people[cpf] for cpf in sorted(people)]))
            await conn.execute(_LEAD_PEOPLE, *columns(list(links.values())))

    def _found(self, event: LeadProcessed) -> list[dict[str, Any]]:
        if not event.enrichment:
            return []
        try:
            clear = self._codec.open(event.event_id, "enrichment", event.enrichment)
        except CodecError as error:
            log.error("enrichment.sealed", event_id=event.event_id, error=str(error))  # noqa: TRY400 -- text suffices
            return []
        people: list[dict[str, Any]] = orjson.loads(clear)["people"]
        return people
