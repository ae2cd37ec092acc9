"""Whose events are these: searched by phone, e-mail or CPF, never stored or logged, never part of an address.

Phones and e-mails stand only in the webhooks' bodies, which may be sealed: so the newest are opened and
compared one by one. CPFs are looked up among the people whom the look-ups found.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

from ops.inspect import Row
from ops.persons import Persons
from ops.postgres import translated
from ops.queries import query
from schema.codec import PayloadCodec
from schema.errors import CodecError
from schema.lead import lead_of

LOOKED_THROUGH = 5000
_PAGE = 250
_LEAST_DIGITS = 8
_CPF_DIGITS = 11
_COUNTRY = "55"
_WITH_COUNTRY = 12
_BY_CPF = """
SELECT l.lead_id FROM people p JOIN lead_people l ON l.person_id = p.id WHERE p.cpf = $1 LIMIT 100
"""


async def find_events(pool: asyncpg.Pool, codec: PayloadCodec, wanted: str, limit: int) -> list[Row]:
    """Events of the person with a phone, an e-mail or a CPF, among the newest `LOOKED_THROUGH`, newest first.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    found: list[Any] = []
    with translated("looking for a person's events"):
        leads = await _leads_by_cpf(pool, codec, wanted)
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            rows = connection.cursor(query("payloads_latest"), LOOKED_THROUGH, prefetch=_PAGE)
            async for row in rows:
                if row["lead_id"] in leads or _is_of(codec, row, wanted):
                    found.append(row["event_id"])
                    if len(found) == limit:
                        break
                await asyncio.sleep(0)  # whoever sends webhooks meanwhile is served between two of them
            return [dict(row) for row in await connection.fetch(query("events_by_id"), found)]


def same_contact(wanted: str, email: str, phones: Sequence[str]) -> bool:
    """Whether a search term is this e-mail or one of these phones, however each is written."""
    if "@" in wanted:
        return wanted.strip().casefold() == email.strip().casefold()
    digits = _national(wanted)
    return len(digits) >= _LEAST_DIGITS and any(_same_phone(digits, _national(phone)) for phone in phones)


def _same_phone(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= _LEAST_DIGITS and longer.endswith(shorter)


def _national(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    return digits.removeprefix(_COUNTRY) if len(digits) >= _WITH_COUNTRY else digits


async def _leads_by_cpf(pool: asyncpg.Pool, codec: PayloadCodec, wanted: str) -> frozenset[str]:
    digits = re.sub(r"\D", "", wanted)
    if "@" in wanted or len(digits) != _CPF_DIGITS:
        return frozenset()
    async with pool.acquire() as connection:
        try:
            name = await Persons(codec).hashed(connection, "cpf", digits)
        except CodecError:  # nothing is sealed here, or not with the keys at hand
            name = digits
        return frozenset(row["lead_id"] for row in await connection.fetch(_BY_CPF, name))


def _is_of(codec: PayloadCodec, row: asyncpg.Record, wanted: str) -> bool:
    try:
        body = orjson.loads(codec.open(str(row["event_id"]), "payload", row["payload"]))
    except (CodecError, orjson.JSONDecodeError):
        return False
    customer = lead_of(row["lead_id"], body).customer
    return customer is not None and same_contact(wanted, customer.email, customer.phones)
