"""The operator's work over several partitions: letters page by page, keys rotated, streams lost."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest
from support_console import browsing
from support_ingress import Answer, lead
from support_operator import ADMIN_TOKEN, BEARER
from support_redis import layout
from support_system import System, fresh_database, running
from support_waiting import until

from ops.dead import DeadLetters, Filter
from ops.rotate_keys import rotate
from ops.seal import codec_of
from ops.settings import Settings
from ops.settings.privacy import Privacy
from schema.identity import partition_of
from schema.keys import GROUP, Keys

OLD, NEW = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PARTITIONS = {"one": 3, "cluster": 6}
LEADS = [f"lead-{n}" for n in range(18)]


@asynccontextmanager
async def operated(kind, redis_url, postgres_server, folder, **more):
    database_url = await fresh_database(postgres_server)
    more |= {"STREAM_PARTITIONS": str(PARTITIONS[kind]), "ADMIN_TOKEN": ADMIN_TOKEN}
    async with layout(kind, redis_url, folder) as url, running(url, database_url, **more) as system:
        yield system


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"payload_keys": Privacy(payload_keys=",".join(keys)).payload_keys})


async def posted(system: System, leads: list[str]) -> None:
    answers = await asyncio.gather(*(system.door.post(lead(name)) for name in leads))
    assert {answer.json["status"] for answer in answers} == {"accepted"}


async def asked(system: System, method: str, path: str, **body: object) -> Answer:
    how = {"json": body} if method == "POST" else {}
    return await system.door.ask(method, path, headers=BEARER, **how)


@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_letters_of_all_partitions_are_listed_and_replayed(kind, redis_url, postgres_server, tmp_path):
    """Page by page in the API and in the console, each once; all are replayed by one order."""
    async with operated(kind, redis_url, postgres_server, tmp_path) as system:
        await system.fault(target="c2s.create_message", kind="error", status=400, times=len(LEADS))
        await posted(system, LEADS)
        await system.ended("failed", len(LEADS))
        assert {partition_of(name, PARTITIONS[kind]) for name in LEADS} == {*range(PARTITIONS[kind])}
        listed: list[str] = []
        path = "/api/v1/dead?limit=4"
        while path:
            page = (await asked(system, "GET", path)).json
            listed += [letter["lead_id"] for letter in page["letters"]]
            path = page["next"] and f"/api/v1/dead?limit=4&after={page['next']}"
        assert sorted(listed) == sorted(LEADS)
        await the_console_shows(system, LEADS)
        assert (await asked(system, "POST", "/api/v1/replay", all=True, reason="test")).json["done"] == len(
            LEADS
        )
        await system.ended("success", len(LEADS))
        messages = (await system.state())["messages"]
        assert {name: len(messages[name]) for name in LEADS} == dict.fromkeys(LEADS, 1)
        assert (await asked(system, "GET", "/api/v1/dead")).json["letters"] == []


async def the_console_shows(system: System, leads: list[str]) -> None:
    async with browsing(system.door) as browser:
        await browser.log_in()
        overview = await browser.get("/console")
        assert f"Dead letters {len(leads)}" in " ".join(overview.words.split())
        dead = await browser.get("/console/dead")
        assert [name for name in leads if f">{name}<" not in dead.text] == []


@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_keys_are_rotated_in_all_partitions(kind, redis_url, postgres_server, tmp_path):
    """Letters and steps of every partition open with the new key alone, and nothing needs the old one."""
    keys = f"{OLD},{NEW}"
    async with operated(kind, redis_url, postgres_server, tmp_path, PAYLOAD_KEYS=keys) as system:
        await system.fault(target="c2s.create_message", kind="error", status=400, times=len(LEADS))
        await posted(system, LEADS)
        await system.ended("failed", len(LEADS))
        both, new = with_keys(system.settings, NEW, OLD), codec_of(with_keys(system.settings, NEW))
        await rotate(both, lambda *_: None)
        letters = [x async for x in DeadLetters(system.redis, both).found(Filter())]
        assert len(letters) == len(LEADS)
        for letter in letters:
            event = letter.event
            assert json.loads(new.open(event.event_id, "payload", event.payload))["lead_id"] == event.lead_id
            steps = await system.redis.hgetall(Keys(letter.partition).steps(event.event_id))
            assert json.loads(new.open(event.event_id, "people", steps[b"people"].decode()))
        unread = [use for use in await rotate(both, lambda *_: None) if use.standing != "newest"]
        assert unread == []


@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_groups_and_streams_are_lost_in_some_partitions(kind, redis_url, postgres_server, tmp_path):
    """A group destroyed here and a stream deleted there: both go on, the others notice nothing."""
    partitions = PARTITIONS[kind]
    async with operated(kind, redis_url, postgres_server, tmp_path) as system:
        await posted(system, LEADS)
        await system.ended("success", len(LEADS))
        await system.redis.xgroup_destroy(Keys(1).webhooks, GROUP)
        await system.redis.delete(Keys(2).webhooks)
        more = [f"more-{n}" for n in range(18)]
        assert {partition_of(name, partitions) for name in more} >= {1, 2}
        await posted(system, more)
        await system.ended("success", len(LEADS) + len(more))
        messages = (await system.state())["messages"]
        assert {len(texts) for texts in messages.values()} == {1}
        for partition in range(partitions):
            groups = await until(lambda p=partition: system.redis.xinfo_groups(Keys(p).webhooks))
            assert [group["name"] for group in groups] == [GROUP.encode()]
        started = [
            fields[b"lead_id"].decode()
            for partition in range(partitions)
            for _, fields in await system.redis.xrange(Keys(partition).outcomes)
            if fields.get(b"type") == b"processing_started"
        ]
        untouched = {name for name in LEADS if partition_of(name, partitions) not in (1, 2)}
        assert {name for name in untouched if started.count(name) != 1} == set()
