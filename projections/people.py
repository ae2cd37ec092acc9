"""`people` and `lead_people`: what enrichment found, already reduced to the allow-list by the processor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

import asyncpg
import orjson
import structlog

from ops.persons import Person, Persons
from projections.batch import Fact, columns, events, made
from projections.model import Table
from schema.codec import PayloadCodec
from schema.errors import CodecError, KeyMissing
from schema.events import LeadProcessed

log = structlog.get_logger()

TABLES = (
    Table(
        "people",
        key=("cpf",),
        older="t.found_at < $1::timestamptz",
        personal=frozenset({"cpf", "cpf_sealed", "name", "profile"}),
        compared="SELECT cpf, cpf_sealed, name, profile, found_at, updated_at FROM {schema}.people",
    ),
    Table(
        "lead_people",
        key=("lead_id", "cpf"),
        older="t.person_id IN (SELECT id FROM people) AND t.updated_at < $1::timestamptz",
        personal=frozenset({"cpf"}),
        compared="SELECT l.lead_id, p.cpf, l.contact_kind, l.event_id, l.updated_at"
        " FROM {schema}.lead_people l JOIN {schema}.people p ON p.id = l.person_id",
    ),
)

# The newest finding counts; an older one that comes late (another partition's) fills gaps only.
_UPSERT = """
WITH written AS (
    INSERT INTO people AS p (cpf, cpf_sealed, name, profile, found_at, updated_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
    ON CONFLICT (cpf) DO UPDATE SET
        name = CASE WHEN excluded.updated_at >= p.updated_at THEN coalesce(excluded.name, p.name)
                    ELSE coalesce(p.name, excluded.name) END,
        profile = CASE WHEN excluded.updated_at >= p.updated_at THEN coalesce(excluded.profile, p.profile)
                       ELSE coalesce(p.profile, excluded.profile) END,
        found_at = least(p.found_at, excluded.found_at),
        updated_at = greatest(p.updated_at, excluded.updated_at)
    RETURNING id, cpf
)
INSERT INTO lead_people AS l (lead_id, person_id, contact_kind, event_id, updated_at)
SELECT x.lead_id, written.id, x.contact_kind, x.event_id, x.updated_at
FROM unnest($7::text[], $8::text[], $9::text[], $10::uuid[], $11::timestamptz[])
    AS x(lead_id, cpf, contact_kind, event_id, updated_at)
JOIN written USING (cpf)
ON CONFLICT (lead_id, person_id) DO UPDATE SET contact_kind = excluded.contact_kind,
    event_id = excluded.event_id, updated_at = excluded.updated_at
WHERE excluded.updated_at >= l.updated_at
"""

# By CPF: name, profile, when it was found first and last. By lead and CPF: contact, event and when.
_People = dict[str, tuple[str | None, str | None, datetime, datetime]]
_Links = dict[tuple[str, str], tuple[str, str, datetime]]


@dataclass(frozen=True, slots=True)
class _Person:
    cpf: str
    name: str | None
    profile: str | None
    contact_kind: str


class PeopleProjection:
    """Opens what the outcome carries sealed, and writes persons (under keys of their own) and their leads."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec
        self._persons = Persons(codec)

    async def apply(self, conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
        """Bring both tables up to date with a batch."""
        people, links = made(facts, self._gathered)
        if people:
            # In one order everywhere, so that two writers could never deadlock.
            who = await self._persons.of(conn, sorted(people))
            rows = [(*_row(who[cpf], cpf, *found[:2]), *found[2:]) for cpf, found in people.items()]
            pairs = [(lead_id, who[cpf].name, *link) for (lead_id, cpf), link in links.items()]
            await conn.execute(_UPSERT, *columns(sorted(rows, key=itemgetter(0))), *columns(sorted(pairs)))

    def _gathered(self, facts: Sequence[Fact]) -> tuple[_People, _Links]:
        """Whom a batch names by CPF, and of which leads."""
        people: _People = {}
        links: _Links = {}
        for fact, event in events(facts):
            if type(event) is not LeadProcessed or not event.enrichment:
                continue
            at = fact.at
            for person in self._found(event):
                name, profile, first, last = people.get(person.cpf, (None, None, at, at))
                if at >= last:
                    name, profile = person.name or name, person.profile or profile
                else:
                    name, profile = name or person.name, profile or person.profile
                people[person.cpf] = (name, profile, min(first, at), max(last, at))
                link = (person.contact_kind, event.event_id, at)
                known = links.setdefault((event.lead_id, person.cpf), link)
                if known[2] <= at:
                    links[event.lead_id, person.cpf] = link
        return people, links

    def _found(self, event: LeadProcessed) -> list[_Person]:
        try:
            clear = self._codec.open(event.event_id, "enrichment", event.enrichment)
            return [_person(item) for item in orjson.loads(clear)["people"]]
        except KeyMissing:
            raise  # nothing is wrong with the fact: it waits for the operator
        except (CodecError, ValueError, TypeError, LookupError) as error:
            # Only the kind: the decoder's words could quote a person.
            log.error("enrichment.unreadable", event_id=event.event_id, kind=type(error).__name__)  # noqa: TRY400
            return []


def _row(person: Person, cpf: str, name: str | None, profile: str | None) -> tuple[str | None, ...]:
    return (
        person.name,
        person.seal("cpf", cpf) if person.key else None,
        person.seal("name", name) if name else None,
        person.seal("profile", profile) if profile else None,
    )


def _person(item: dict[str, Any]) -> _Person:
    profile, name = item.get("profile"), item.get("name")
    text = orjson.dumps(profile).decode() if profile else None
    return _Person(_text(item["cpf"]), _text(name) if name else None, text, _text(item["contact_kind"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value.replace("\x00", "")
