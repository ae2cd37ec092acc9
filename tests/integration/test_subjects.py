"""Erasing one person of many: nothing of them is left anywhere, the others stay, nothing brings them back."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from support_console import browsing
from support_engine import KEYS, World, projecting
from support_ingress import open_door
from support_operator import BEARER, operated_settings
from support_subjects import places_of

from ops.append import Appender
from ops.postgres import create_pool
from ops.recover import Recovery, ensure_groups
from ops.redis import command_client
from ops.sandbox.people import invent
from ops.sandbox.webhooks import webhook_body
from ops.seal import codec_of
from ops.subjects import Found, find, named
from projections.models import models
from projections.rebuild.run import Rebuild, Report
from projections.subjects.erase import Erased, Eraser
from schema.calls import Appending
from schema.events import WebhookAccepted
from schema.identity import dedup_key, event_id_of, forced_version
from schema.webhook import parse_body

MANY = 1_000
ONE = "person-7"
TABLES = (
    "people, lead_people, attempts, webhook_duplicates, dead_letters, subjects, subject_index, data_keys,"
)
TABLES += " subject_leads, subject_erasures, erased_events, ingress_spool, forwards, operator_actions"
KEY = base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
async def db(world: World) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(world.settings.database_url.get_secret_value())
    await conn.execute(f"TRUNCATE {TABLES} CASCADE")
    yield conn
    await conn.close()


def marks_of(lead: str) -> list[str]:
    """What may not be found of a lead's customer, in every spelling we know."""
    who = invent(lead)
    person = who.phone_person
    assert person
    digits = person.phone
    spelled = [who.phone, digits, f"{digits[2:-4]}-{digits[-4:]}", f"{digits[2:-4]} {digits[-4:]}"]
    cpf = person.cpf
    return [who.name, person.email, cpf, f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}", *spelled]


async def forced(world: World, ago: timedelta = timedelta()) -> str:
    """The old trigger asks for the lead once more, on purpose: it is looked up and answered again."""
    at = datetime.now(UTC) - ago
    [item] = parse_body(webhook_body(ONE, "on_update_lead", "data", at)).elements
    version = forced_version(at)
    key = dedup_key(ONE, item.action, version)
    event = WebhookAccepted(
        event_id=event_id_of(key),
        lead_id=ONE,
        action=item.action,
        version=version,
        source="trigger",
        received_at=at,
        payload=codec_of(world.settings).seal(event_id_of(key), "payload", item.payload),
    )
    door = Appender(world.redis, partitions=1, dedup_ttl_s=600, instance="door")
    return (await door.append(Appending(event, key))).event_id


async def meant(db: asyncpg.Connection, world: World, lead: str = ONE) -> Found:
    wanted = [named("phone", invent(lead).phone)]
    return await find(db, world.redis, world.settings, codec_of(world.settings), wanted)


async def erase(db: asyncpg.Connection, world: World) -> Erased:
    quick = world.settings.model_copy(update={"heartbeat_secs": 0.2})
    eraser = Eraser(db, world.redis, quick, codec_of(world.settings))
    return await eraser.erase(await meant(db, world), actor="test", reason="asked for")


async def check(world: World) -> Report:
    conn = await asyncpg.connect(
        world.settings.database_url.get_secret_value(), server_settings={"timezone": "UTC"}
    )
    client = command_client(world.settings.redis_url.get_secret_value())
    try:
        return await Rebuild(conn, client, models(codec_of(world.settings)), lambda *_: None).check()
    finally:
        await conn.close()
        await client.aclose()


async def recover(world: World) -> int:
    pool = await create_pool(world.settings, min_size=0, max_size=2, application_name="test")
    await ensure_groups(world.redis, 1, 600)
    done = await Recovery(world.redis, pool, world.settings).run()
    await pool.close()
    return done.events


async def kept(db: asyncpg.Connection) -> list[tuple]:
    """What is held of everybody else, without what a second start of the same event would change."""
    rows = await db.fetch(
        "SELECT lead_id, hook_action, status, result, raw_payload, message, contact, cpf, name, profile"
        " FROM webhook_events w LEFT JOIN lead_state USING (lead_id, hook_action, status, result)"
        " LEFT JOIN lead_people USING (lead_id) LEFT JOIN people p ON p.id = person_id"
        " WHERE lead_id <> $1 ORDER BY 1, cpf",
        ONE,
    )
    return [tuple(row) for row in rows]


async def pages(world: World, *event_ids: str) -> str:
    """All that the console and the operator API show of the lead."""
    urls = [world.settings.redis_url.get_secret_value(), world.settings.database_url.get_secret_value()]
    keys = world.settings.payload_keys.get_secret_value()
    paths = ["", f"/events?lead={ONE}", "/dead", f"/leads?lead={ONE}", "/people", "/actions"]
    paths += [f"/events/{event_id}" for event_id in event_ids]
    async with open_door(operated_settings(*urls, PAYLOAD_KEYS=keys)) as door, browsing(door) as browser:
        assert (await browser.log_in()).status == 303
        shown = [await browser.get(f"/console{path}") for path in paths]
        for path, page in zip(paths, shown, strict=True):
            assert page.status == 200, path
        told = [await door.ask("GET", f"/api/v1/events/{event_id}", headers=BEARER) for event_id in event_ids]
    assert ONE in shown[1].text
    return "".join(page.text for page in shown) + repr([answer.json for answer in told])


@pytest.mark.parametrize("keys", ["", KEY], ids=["clear", "sealed"])
async def test_one_of_a_thousand_is_erased_while_their_lead_is_in_work(world, db, keys):
    """A second webhook of theirs is in work: it ends unsent, nothing is left; rebuild and recover agree."""
    world.settings = type(world.settings).model_validate(
        {**dict(world.settings), "payload_keys": keys, "heartbeat_secs": 0.2, "lease_ttl_secs": 1.5}
    )
    for number in range(MANY):
        await world.accept(f"person-{number}")
    async with projecting(world) as catch_up:
        async with world.engine(processor_concurrency=32):
            for some in range(100, MANY + 1, 100):
                await world.ends(some)
        # One of their events was given up, too: its letter holds its webhook.
        await world.fault(target="c2s.create_message", kind="error", status=422, times=1)
        given_up = await forced(world, timedelta(minutes=5))
        async with world.engine():
            [end] = (await world.ends(MANY + 1))[-1:]
        assert (end.type, end.event_id) == ("lead_dead_lettered", given_up)
        await catch_up()
        await world.fault(target="work.cpf", kind="slow", seconds=20, times=5)
        async for key in world.redis.scan_iter("c2s:{outside}:cache:*"):
            await world.redis.delete(key)
        again = await forced(world)
        await world.accept(ONE)  # a repeat of the first
        async with world.engine(http_timeout_secs=60, profile_cache_secs=60):  # each step recorded at once
            async with asyncio.timeout(20):
                while not await world.redis.hexists(KEYS.steps(again), "people"):  # noqa: ASYNC110 -- Redis's
                    await asyncio.sleep(0.01)
            before = await kept(db)
            async with asyncio.timeout(60):  # what is promised to whoever asks
                done = await erase(db, world)
            assert await places_of(world.redis, db, marks_of(ONE)) == set()
            # The ends of their first webhook and of the dead letter are gone; it and the open work end here.
            ends = [(e.event_id, e.reason) for e in await world.ends(MANY + 1) if e.type == "event_ignored"]
        assert done.complete
        assert sorted(ends) == sorted([(again, "erased"), (given_up, "erased")])
        await catch_up()
    assert await places_of(world.redis, db, marks_of(ONE)) == set()
    assert await kept(db) == before
    assert len({row[0] for row in before}) == MANY - 1
    others = [mark for number in range(90, MANY, 91) for mark in marks_of(f"person-{number}")]
    assert bool(await places_of(world.redis, db, others)) is not bool(keys)
    shown = await pages(world, given_up, again)
    assert [mark for mark in marks_of(ONE) if mark.lower() in shown.lower()] == []
    sent = (await world.state())["messages"]
    assert len(sent[ONE]) == 1  # before; what C2S has is C2S's to erase
    report = await check(world)
    assert report.differences == 0, report.examples
    assert (await meant(db, world)).leads == ()

    await world.redis.flushall()
    assert await recover(world) == 0
    await world.accept(ONE)  # C2S sends it once more: known, and its body is not kept
    async with projecting(world) as catch_up:
        await catch_up()
    assert await places_of(world.redis, db, marks_of(ONE)) == set()
    assert await kept(db) == before
    proof = await db.fetchrow("SELECT * FROM subject_erasures")
    assert proof["finished_at"]
    assert len(proof["hashes"]) == 3
