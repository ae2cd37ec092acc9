"""A server that dies or hands over under load: a master with Sentinels, nodes and slots of a cluster."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.crc import key_slot
from support_ingress import door_settings, lead, open_door
from support_redis import Cluster, Watched, ask, cluster, eventually, watched
from support_system import System, fresh_database, running
from support_waiting import until

from ops.dev.ports import LOOPBACK
from ops.dev.redis_server import EmbeddedRedis
from ops.migrate import migrate
from ops.redis import command_client, translated
from schema.errors import StorageUnavailable
from schema.identity import partition_of
from schema.keys import Keys

_PARTITIONS = 4


async def stored(url: str, partitions: int = 1) -> list[str]:
    """The leads in the streams, wherever these are now; none while that is not decided."""
    client = command_client(url)
    rows: list[Any] = []
    try:
        with translated("reading the streams"):
            for partition in range(partitions):
                rows += await client.xrange(Keys(partition).webhooks)
    except StorageUnavailable:
        return []
    finally:
        await client.aclose()
    return [fields[b"lead_id"].decode() for _, fields in rows]


@asynccontextmanager
async def flood(door: Any, said: dict[str, str], width: int = 4) -> AsyncIterator[None]:
    """Webhooks one after the other, of several senders, until the block ends; how each 200 was answered."""
    stop = asyncio.Event()

    async def send(prefix: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            answer = await door.post(lead(f"{prefix}-{number}"))
            if answer.status == 200:
                said[f"{prefix}-{number}"] = answer.json["status"]

    senders = [asyncio.create_task(send(f"flood{n}")) for n in range(width)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*senders)


def cut_off(servers: Watched) -> None:
    """From now on the replica gets nothing more."""
    ask(servers.master, "ACL", "SETUSER", "default", "-psync", "-sync")
    ask(servers.master, "CLIENT", "KILL", "TYPE", "replica")


async def test_what_a_replica_has_confirmed_survives_its_master(tmp_path, database_url):
    """REQUIRE_REPLICAS=1 under load: cut off, then dead: every 200 is in the new master's stream, once."""
    await migrate(database_url)
    async with watched(tmp_path) as servers:
        settings = door_settings(servers.url, database_url, REQUIRE_REPLICAS="1")
        said: dict[str, str] = {}
        async with open_door(settings) as door:
            async with flood(door, said):
                await until(lambda: stored(servers.url), lambda found: len(found) > 50)
                cut_off(servers)
                await servers.fail_over()
                servers.master.start()
            # It comes back with what it knows; the Sentinels make it a replica, and the spool is drained.
            found = await until(lambda: stored(servers.url), lambda there: set(said) <= set(there), 60)
        assert set(said.values()) == {"accepted", "spooled"}
        assert len(found) == len(set(found))


async def test_without_confirmation_what_the_replica_lacked_is_lost_and_no_more(tmp_path, postgres_server):
    """What was accepted after the replica was cut off, eleven of eleven; all else is worked on, once."""
    database_url = await fresh_database(postgres_server)
    async with watched(tmp_path) as servers, running(servers.url, database_url) as system:
        before, lost = names("before", 12), names("lost", 11)
        await accepted(system, before)
        await system.ended("success", len(before))
        await until(lambda: lag(servers), lambda behind: behind == 0)
        cut_off(servers)
        await accepted(system, lost)
        await servers.fail_over()
        after = names("after", 12)
        for name in after:
            assert (await system.door.post(lead(name))).status == 200
        kept = await until(lambda: stored(servers.url), lambda there: set(after) <= set(there), 60)
        assert sorted(kept) == sorted([*before, *after])
        await until(lambda: settled(system, [*before, *after]), seconds=60)
        for name in [*before, *after]:
            assert len((await system.state())["messages"][name]) == 1


async def lag(servers: Watched) -> int:
    """Bytes of replication that the replica has not confirmed."""
    state = await asyncio.to_thread(ask, servers.master, "INFO", "replication")
    return int(state["master_repl_offset"]) - int(state["slave0"]["offset"])


async def settled(system: System, leads: Sequence[str]) -> bool:
    query = "SELECT count(*) FROM webhook_events WHERE status = 'success' AND lead_id = ANY($1)"
    return await system.record.fetchval(query, list(leads)) == len(leads)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{n}" for n in range(count)]


async def accepted(system: System, leads: Sequence[str]) -> None:
    answers = await asyncio.gather(*(system.door.post(lead(name)) for name in leads))
    assert {a.json["status"] for a in answers} == {"accepted"}


async def test_a_slot_moves_to_another_node_under_load(tmp_path, database_url):
    """All the keys of a partition go one by one: every 200 is stored once, and repeats are known after it."""
    await migrate(database_url)
    async with cluster(tmp_path) as made:
        settings = door_settings(made.url, database_url, STREAM_PARTITIONS=str(_PARTITIONS))
        said: dict[str, str] = {}
        async with open_door(settings) as door:
            async with flood(door, said):
                await until(lambda: stored(made.url, _PARTITIONS), lambda found: len(found) > 50)
                await asyncio.to_thread(move, made, key_slot(b"0"))
                seen = len(said)
                await until(lambda: count(said), lambda found: found > seen + 20)
            found = await until(
                lambda: stored(made.url, _PARTITIONS), lambda there: set(said) <= set(there), 60
            )
            assert len(found) == len(set(found))
            moved = next(name for name in said if partition_of(name, _PARTITIONS) == 0)
            repeat = lead(moved)
            last = await until(lambda: door.post(repeat), lambda answer: answer.json["status"] != "spooled")
            assert last.json["status"] == "duplicate"


async def count(said: dict[str, str]) -> int:
    return len(said)


def move(made: Cluster, slot: int) -> None:
    """As `redis-cli --cluster reshard` does it."""
    owner = next(node for node in made.nodes if owns(node, slot))
    target = next(node for node in made.nodes if node is not owner)
    ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", made.id_of(owner))
    ask(owner, "CLUSTER", "SETSLOT", slot, "MIGRATING", made.id_of(target))
    while keys := ask(owner, "CLUSTER", "GETKEYSINSLOT", slot, 10):
        ask(owner, "MIGRATE", LOOPBACK, target.port, "", 0, 5000, "KEYS", *keys)
    for node in (target, owner, *made.nodes):
        ask(node, "CLUSTER", "SETSLOT", slot, "NODE", made.id_of(target))


def owns(node: EmbeddedRedis, slot: int) -> bool:
    rows = ask(node, "CLUSTER", "SLOTS")
    ranges = rows.items() if isinstance(rows, dict) else [((r[0], r[1]), {"primary": r[2]}) for r in rows]
    return any(first <= slot <= last and int(of["primary"][1]) == node.port for (first, last), of in ranges)


@pytest.mark.parametrize("replicated", [True, False])
async def test_a_node_dies(tmp_path, postgres_server, replicated):
    """Its replica takes over, or it comes back by itself; webhooks wait in the spool and are worked once."""
    database_url = await fresh_database(postgres_server)
    async with (
        cluster(tmp_path, replica=replicated) as made,
        running(made.url, database_url, STREAM_PARTITIONS=str(_PARTITIONS)) as system,
    ):
        before = names("before", 12)
        await accepted(system, before)
        await system.ended("success", len(before))
        if replicated:
            await eventually(lambda: is_synced(made))
        node = made.nodes[0]
        node.kill()
        during = names("during", 12)
        for name in during:
            assert (await system.door.post(lead(name))).status == 200
        if not replicated:
            node.start()
        await until(lambda: settled(system, [*before, *during]), seconds=60)
        for name in [*before, *during]:
            assert len((await system.state())["messages"][name]) == 1


def is_synced(made: Cluster) -> bool:
    state = ask(made.nodes[0], "INFO", "replication")
    return int(state["master_repl_offset"]) == int(state["slave0"]["offset"])
