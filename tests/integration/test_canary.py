"""Canaries: marked persons through faults; then everything that is stored or said is searched for them."""

import base64
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from support_engine import World, projecting
from support_subjects import places_of

from ops.sandbox.people import invent

LEADS = [f"canary-{number}" for number in range(8)] + [
    "twins-canary",
    "canary-dead",
    "nomatch-canary",
    "junk-canary",
]
KEY = base64.b64encode(os.urandom(32)).decode()
FAULTS = (
    {"target": "work.cpf", "kind": "html", "times": 2},
    {"target": "diretrix.phone", "kind": "error", "status": 500, "times": 2},
    {"target": "c2s.create_message", "kind": "error", "status": 500, "times": 2},
    {"target": "c2s.create_message", "kind": "lost_reply", "times": 1},
    {"target": "c2s.create_message", "kind": "reset", "times": 1},
)
# Where docs/privacy.md says that personal data stands in clear while there are no PAYLOAD_KEYS.
TABLES = {"event_log", "webhook_events", "webhook_duplicates", "people"}
STREAMS = {"c2s:{0}:webhooks", "c2s:{0}:outcomes", "c2s:{0}:dead"}


@pytest.fixture
async def db(world: World) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(world.settings.database_url.get_secret_value())
    await conn.execute(
        "TRUNCATE people, lead_people, attempts, webhook_duplicates, data_keys, subjects CASCADE"
    )
    yield conn
    await conn.close()


def marks() -> list[str]:
    """Names, e-mails, CPFs and phones of all canaries, as they may be spelled."""
    found: list[str] = []
    for lead in LEADS:
        who = invent(lead)
        found += [text for text in (who.name, who.email) if len(text) > 8]
        for person in (who.phone_person, who.email_person):
            if person:
                digits, cpf = person.phone, person.cpf
                found += [person.name, person.email, cpf, digits, f"{digits[2:-4]}-{digits[-4:]}"]
                found += [f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"]
    return found


@pytest.mark.parametrize("keys", ["", KEY], ids=["clear", "sealed"])
async def test_nothing_of_a_canary_is_found_outside_the_sealed_places(world, db, keys, capsys):
    """Failing look-ups, ambiguous sends, repeats, a dead letter: with keys nowhere, else as the page says."""
    world.settings = type(world.settings).model_validate({**dict(world.settings), "payload_keys": keys})
    for fault in FAULTS:
        await world.fault(**fault)
    first = [lead for lead in LEADS if lead != "canary-dead"]
    for lead in first:
        await world.accept(lead)
    await world.accept(LEADS[0])
    async with projecting(world) as catch_up:
        async with world.engine():
            await world.ends(len(first))
        # One more, given up: its letter holds its webhook.
        await world.fault(target="c2s.create_message", kind="error", status=422, times=1)
        await world.accept("canary-dead")
        async with world.engine():
            await world.ends(len(LEADS))
        await catch_up()
        places = await places_of(world.redis, db, marks())
    said = capsys.readouterr()
    for mark in marks():
        assert mark.lower() not in (said.out + said.err).lower()
    if keys:
        assert places == set()
    else:
        assert {"event_log", "webhook_events", "people", "c2s:{0}:webhooks"} <= places
        others = places - TABLES - STREAMS
        known = ("c2s:{outside}:cache:", "c2s:{0}:steps:", "event_log_")
        others = {place for place in others if not place.startswith(known)}
        assert others == set()
