"""`subjects`, `subject_index`, `subject_leads`: filled beside the read models, never rebuilt: ids are random.

A fact met again finds its identifiers known and changes nothing, so what is there stays as it is.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import asyncpg
import structlog

from ops.subjects import NAMING, Group, Hashes, groups_of
from projections.batch import Fact, columns, events, made
from schema.codec import PayloadCodec
from schema.errors import CodecError, KeyMissing
from schema.events import Event

log = structlog.get_logger()

# One text, for each element of an array costs us as much as the look-up costs Postgres.
_KNOWN = """
SELECT hash, subject_id::text FROM subject_index WHERE hash = ANY(string_to_array($1, ','))
"""
_NOTE = """
WITH fresh AS (
    INSERT INTO subjects (id, first_seen_at) SELECT * FROM unnest($1::uuid[], $2::timestamptz[])
), named AS (
    INSERT INTO subject_index (hash, kind, subject_id)
    SELECT * FROM unnest($3::text[], $4::text[], $5::uuid[])
    ON CONFLICT DO NOTHING
)
INSERT INTO subject_leads (subject_id, lead_id) SELECT * FROM unnest($6::uuid[], $7::text[])
ON CONFLICT DO NOTHING
"""


class SubjectIndex:
    """Opens what a fact carries sealed, and notes whom it names."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec
        self._hashes = Hashes(codec)

    async def apply(self, conn: asyncpg.Connection, facts: Sequence[Fact]) -> None:
        """Note the persons of a batch, and their leads."""
        named = made(facts, self._named)
        if not named:
            return
        await self._hashes.prepare(conn)
        hashed = [
            (fact.at, lead_id, [(self._hashes.of(i), i.kind) for i in group])
            for fact, lead_id, group in named
        ]
        every = sorted({name for _, _, group in hashed for name, _ in group})
        owner: dict[str, str] = {
            r["hash"]: r["subject_id"] for r in await conn.fetch(_KNOWN, ",".join(every))
        }
        fresh: dict[str, datetime] = {}
        index: dict[str, tuple[str, str]] = {}
        links: set[tuple[str, str]] = set()
        for at, lead_id, group in hashed:
            subject = next((owner[name] for name, _ in group if name in owner), None)
            if subject is None:
                subject = str(uuid4())
                fresh[subject] = at
            for name, kind in group:
                if name not in owner:
                    owner[name] = subject
                    index[name] = (kind, subject)
                links.add((owner[name], lead_id))
        names, kinds, owners = (
            [*index],
            [kind for kind, _ in index.values()],
            [who for _, who in index.values()],
        )
        leads = columns(sorted(links))
        await conn.execute(_NOTE, [*fresh], [*fresh.values()], names, kinds, owners, *leads)

    def _named(self, facts: Sequence[Fact]) -> list[tuple[Fact, str, Group]]:
        naming = ((fact, event) for fact, event in events(facts) if type(event) in NAMING)
        return [(fact, event.lead_id, group) for fact, event in naming for group in self._groups(event)]

    def _groups(self, event: Event) -> list[Group]:
        try:
            return [group for group in groups_of(event, self._codec) if group]
        except KeyMissing:
            raise  # nothing is wrong with the fact: it waits for the operator
        except CodecError as error:
            log.error("subject.unreadable", event_id=event.event_id, kind=type(error).__name__)  # noqa: TRY400
            return []
