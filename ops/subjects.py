"""Subjects: whom a phone, an e-mail or a CPF belongs to, by keyed hashes; the texts themselves are not kept.

The hash key is the row ``subjects`` of `data_keys`: made once, sealed with PAYLOAD_KEYS where there are some,
and kept for ever, so that rotation changes no hash. Without PAYLOAD_KEYS it is a plain salt beside the
hashes: whoever can read the table can then try phones against it, as they could read the phones themselves.

An identifier belongs to the subject that had it first; an event's new identifiers join the subject of one
that is known. So two people of one phone are one subject: `c2s subject show` says which leads that means.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import asyncpg
import asyncpg.pool
import orjson

from ops.postgres import translated
from ops.redis import Client
from ops.settings import Settings
from ops.unprojected import read_tail
from schema.codec import PayloadCodec
from schema.errors import CodecError, LeadstreamError
from schema.events import Event, EventIgnored, LeadProcessed, WebhookAccepted, WebhookDuplicated
from schema.lead import lead_of

Kind = Literal["phone", "email", "cpf"]
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

KEY = "subjects"
_KEY_BYTES = 32
_DIGITS = re.compile(r"\D")
_CPF_DIGITS = 11
_BRAZIL = "55"
_WITH_COUNTRY = (12, 13)
_OLD_MOBILE_DIGITS = 10
_AREA_DIGITS = 2

_MAKE = "INSERT INTO public.data_keys (name, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_KEY = "SELECT wrapped FROM public.data_keys WHERE name = $1"
_SUBJECTS = "SELECT DISTINCT subject_id FROM subject_index WHERE hash = ANY($1::text[])"
_LEADS = "SELECT DISTINCT lead_id FROM subject_leads WHERE subject_id = ANY($1::uuid[]) ORDER BY 1"
_CHECKPOINTS = "SELECT partition, stream, entry_id FROM projection_checkpoints WHERE name = 'main'"
_SPOOLED = "SELECT event_id::text, lead_id, payload FROM ingress_spool WHERE drained_at IS NULL"


class IdentifierError(LeadstreamError):
    """A text is no phone, no e-mail and no CPF; the text itself is not quoted."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """One thing that names a person, normalised: digits, or an address in lower case."""

    kind: Kind
    text: str


def phone(text: str) -> Identifier | None:
    """The national digits of a phone, a mobile with its ninth digit; None where there are too few."""
    digits = _DIGITS.sub("", text).lstrip("0")
    if len(digits) in _WITH_COUNTRY and digits.startswith(_BRAZIL):
        digits = digits[len(_BRAZIL) :]
    if len(digits) == _OLD_MOBILE_DIGITS and digits[_AREA_DIGITS] in "6789":
        digits = f"{digits[:_AREA_DIGITS]}9{digits[_AREA_DIGITS:]}"
    return Identifier("phone", digits) if len(digits) >= _OLD_MOBILE_DIGITS else None


def email(text: str) -> Identifier | None:
    """An address as it is compared; None where it is none."""
    address = text.strip().lower()
    return Identifier("email", address) if "@" in address.strip("@") else None


def cpf(text: str) -> Identifier | None:
    """Eleven digits; None where there are not as many."""
    digits = _DIGITS.sub("", text)
    return Identifier("cpf", digits) if len(digits) == _CPF_DIGITS else None


def named(kind: Kind, text: str) -> Identifier:
    """What an operator typed.

    Raises:
        IdentifierError: it is none of that kind.
    """
    found = {"phone": phone, "email": email, "cpf": cpf}[kind](text)
    if found is None:
        raise IdentifierError(f"that is no {kind}")
    return found


Group = tuple[Identifier, ...]
_WITH_PAYLOAD = (WebhookAccepted, WebhookDuplicated, EventIgnored)
NAMING = (*_WITH_PAYLOAD, LeadProcessed)
"""The events that may name somebody."""


def groups_of(event: Event, codec: PayloadCodec) -> Iterator[Group]:
    """Whom an event names: what belongs to one person together.

    The customer of a webhook is one, and so is each person that enrichment found with the contact that led
    there.

    Raises:
        CodecError: it cannot be opened.
    """
    if type(event) is not LeadProcessed:
        if isinstance(event, _WITH_PAYLOAD) and event.payload:
            yield customer_of(event.lead_id, codec.open(event.event_id, "payload", event.payload))
    elif event.enrichment:
        found = _json(codec.open(event.event_id, "enrichment", event.enrichment))
        people = found.get("people") if isinstance(found, dict) else None
        for person in people if isinstance(people, list) else ():
            yield _person(person)


def customer_of(lead_id: str, clear: str) -> Group:
    """The customer's contacts in a webhook's body; empty where it carries none."""
    if '"customer"' not in clear and "\\u" not in clear:
        return ()  # the plan's three-field webhook: no look at its JSON would find one
    customer = lead_of(lead_id, _json(clear)).customer
    if customer is None:
        return ()
    found = [*(phone(text) for text in customer.phones), email(customer.email)]
    return tuple(dict.fromkeys(i for i in found if i))


def _person(person: Any) -> Group:
    if not isinstance(person, dict):
        return ()
    contact, found = str(person.get("contact") or ""), cpf(str(person.get("cpf") or ""))
    by = email(contact) if person.get("contact_kind") == "email" else phone(contact)
    return tuple(i for i in (by, found) if i)


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


class Hashes:
    """Keyed hashes of identifiers."""

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec
        self._key = b""

    async def prepare(self, conn: Connection) -> None:
        """Read the key, or make it; before the first `of` in each transaction, with which a new key may go.

        Raises:
            CodecError: it was sealed with a key that is not at hand.
        """
        stored = await conn.fetchval(_KEY, KEY)
        if stored is None:
            fresh = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
            await conn.execute(_MAKE, KEY, self._codec.seal(KEY, "key", fresh))
            stored = await conn.fetchval(_KEY, KEY)
        self._key = base64.b64decode(self._codec.open(KEY, "key", stored))

    def of(self, identifier: Identifier) -> str:
        """The hash: 64 hex digits."""
        message = f"{identifier.kind}\0{identifier.text}".encode()
        return hmac.digest(self._key, message, hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class Found:
    """Who was meant.

    Attributes:
        subjects: random ids; empty where only leads that are not recorded yet were found.
        leads: every lead that holds something about them.
        hashes: of what was asked for.
    """

    subjects: tuple[UUID, ...]
    leads: tuple[str, ...]
    hashes: tuple[str, ...]


async def find(  # noqa: PLR0917 -- what a process has, in the usual order
    conn: Connection,
    client: Client,
    settings: Settings,
    codec: PayloadCodec,
    wanted: Sequence[Identifier],
    lead_ids: Iterable[str] = (),
) -> Found:
    """Find the subjects of identifiers, and every lead of theirs: recorded, in the streams' tails, or
    spooled.

    Raises:
        StorageUnavailable: Redis or Postgres is away.
        CodecError: the index's key cannot be opened.
    """
    hashes = Hashes(codec)
    with translated("looking for a subject"):
        await hashes.prepare(conn)
        asked = tuple(hashes.of(identifier) for identifier in wanted)
        subjects = [row["subject_id"] for row in await conn.fetch(_SUBJECTS, asked)]
        leads = {row["lead_id"] for row in await conn.fetch(_LEADS, subjects)} | set(lead_ids)
        rows = await conn.fetch(_CHECKPOINTS)
        spooled = await conn.fetch(_SPOOLED)
    if not wanted:
        return Found((), tuple(sorted(leads)), ())
    checkpoints = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
    tail, _ = await read_tail(client, settings.partitions.served, checkpoints, lambda _: True)
    meant = set(wanted)
    for fact in tail:
        if meant & _named_in(fact.event, codec):
            leads.add(fact.event.lead_id)
    for row in spooled:
        if meant & _opened(row, codec):
            leads.add(row["lead_id"])
    return Found(tuple(subjects), tuple(sorted(leads)), asked)


def _named_in(event: Event, codec: PayloadCodec) -> set[Identifier]:
    try:
        return {identifier for group in groups_of(event, codec) for identifier in group}
    except CodecError:
        return set()


def _opened(row: asyncpg.Record, codec: PayloadCodec) -> set[Identifier]:
    try:
        return set(customer_of(row["lead_id"], codec.open(row["event_id"], "payload", row["payload"])))
    except CodecError:
        return set()
