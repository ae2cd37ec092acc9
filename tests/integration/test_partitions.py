"""Several partitions, on one Redis and on a Redis Cluster of three nodes: door, engine, record, operator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from support_ingress import lead
from support_redis import layout
from support_system import System, fresh_database, running

from ops.alerts.readings import read_all
from ops.dead import DeadLetters, Filter
from ops.doctor import check_redis
from ops.follow import follow
from ops.glance import look
from ops.postgres import create_pool
from ops.recover import Recovery, ensure_groups
from ops.rekey_redis import SealedRedis
from ops.sandbox.people import invent
from ops.seal import codec_of
from ops.subjects import find, named
from projections.fleet import Fleet
from projections.rebuild.__main__ import rebuild
from projections.subjects.erase import Eraser
from schema.identity import partition_of
from schema.keys import Keys

LEADS = [f"lead-{n}" for n in range(24)]
PARTITIONS = {"one": 3, "cluster": 6}


@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_webhooks_become_messages_and_rows_over_all_partitions(
    kind, redis_url, postgres_server, tmp_path
):
    """Leads of every partition: a message and a row each, a dead letter replayed, one erased."""
    partitions = PARTITIONS[kind]
    database_url = await fresh_database(postgres_server)
    async with (
        layout(kind, redis_url, tmp_path) as url,
        running(url, database_url, STREAM_PARTITIONS=str(partitions)) as system,
    ):
        assert {partition_of(name, partitions) for name in LEADS} == set(range(partitions))
        answers = await asyncio.gather(*(system.door.post(lead(name)) for name in LEADS))
        assert {a.json["status"] for a in answers} == {"accepted"}
        again = await asyncio.gather(*(system.door.post(lead(name)) for name in LEADS))
        assert {a.json["status"] for a in again} == {"duplicate"}
        await system.ended("success", len(LEADS))
        await one_message_each(system, LEADS)
        await a_dead_letter_is_replayed(system)
        await the_operator_sees_all(system, partitions)
        await a_waiting_caller_is_told(system)
        await somebody_is_erased(system)


async def one_message_each(system: System, leads: list[str]) -> None:
    messages = (await system.state())["messages"]
    assert {name: len(messages[name]) for name in leads} == dict.fromkeys(leads, 1)


async def a_dead_letter_is_replayed(system: System) -> None:
    await system.fault(target="c2s.create_message", kind="error", status=400, times=1)
    event_id = (await system.door.post(lead("gone-wrong"))).json["event_id"]
    await system.ended("failed", 1)
    dead = DeadLetters(system.redis, system.settings)
    [letter] = [found async for found in dead.found(Filter())]
    assert letter.event.event_id == event_id
    await dead.replay(letter, "test")
    await system.ended("success", len(LEADS) + 1)
    assert [found async for found in dead.found(Filter())] == []


async def the_operator_sees_all(system: System, partitions: int) -> None:
    checks = {finding.check: finding.level for finding in await check_redis(system.settings)}
    assert {checks[f"stream {Keys(p).webhooks}"] for p in range(partitions)} == {"ok"}
    seen = await look(system.redis, system.record, system.settings)
    assert (seen.away, seen.accepted, seen.queue.dead) == ([], len(LEADS) + 2, 0)
    readings = await read_all(system.record, system.redis, system.settings)
    assert readings.redis is not None
    assert readings.redis.memory > 0
    counts = await SealedRedis(system.redis, partitions).used()
    assert set(counts) >= {"steps", "caches"}
    report = await rebuild(system.settings, check=True, quiet=True)
    assert report.entries
    assert not report.notes
    url = system.settings.redis_url.get_secret_value()
    followed = [
        f async for f in _first(follow(url, partitions, ("webhooks",), last=len(LEADS) + 2), len(LEADS) + 2)
    ]
    assert {f.event.lead_id for f in followed} == {*LEADS, "gone-wrong"}
    await a_scrape_counts_all(url, partitions)
    await nothing_is_lost(system)


async def a_waiting_caller_is_told(system: System) -> None:
    answer = await system.door.ask(
        "POST", "/api/v1/leads/process?id=asked-for", headers={"X-API-Key": "trigger-key"}
    )
    assert answer.status == 200, answer.json


async def a_scrape_counts_all(url: str, partitions: int) -> None:
    with closing(Fleet(url, partitions)) as fleet:
        fleet.checkpoints = {}
        families = {f.name: f for f in await asyncio.to_thread(lambda: list(fleet.collect()))}
    assert families["c2s_redis_up"].samples[0].value == 1
    assert families["c2s_redis_memory_bytes"].samples[0].value > 0


async def nothing_is_lost(system: System) -> None:
    s = system.settings
    pool = await create_pool(s, min_size=0, max_size=2, application_name="test")
    await ensure_groups(system.redis, s.stream_partitions, s.steps_ttl_secs)
    await system.redis.delete(*[Keys(0).dedup("nothing")])
    done = await Recovery(system.redis, pool, s).run()
    await pool.close()
    assert (done.events, done.dedup_keys) == (0, 0)


async def somebody_is_erased(system: System) -> None:
    s, codec = system.settings, codec_of(system.settings)
    found = await find(system.record, system.redis, s, codec, [named("phone", invent("lead-3").phone)])
    assert found.leads == ("lead-3",)
    quick = s.model_copy(update={"heartbeat_secs": 0.2})
    await Eraser(system.record, system.redis, quick, codec).erase(found, actor="test", reason="asked for")
    keys = Keys(partition_of("lead-3", s.stream_partitions))
    kept = [fields for _, fields in await system.redis.xrange(keys.webhooks)]
    assert not [fields for fields in kept if fields[b"lead_id"] == b"lead-3"]
    assert (await system.door.post(lead("lead-3"))).json["status"] == "duplicate"


async def _first(items: AsyncIterator[Any], count: int) -> AsyncIterator[Any]:
    async for item in items:
        yield item
        count -= 1
        if not count:
            return
