"""REQUIRE_FSYNC and REQUIRE_REPLICAS: what counts as stored, on a real Redis and on one that has WAITAOF.

The Redis of the tests is 6.2, without WAITAOF: that branch is shown over the wire by `Redis72`, which answers
WAITAOF itself and hands every other command to the real server.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs
from support_ingress import STREAM, door_settings, entries, heard, lead, open_door

from ops.append import Appender
from ops.dev.redis_server import EmbeddedRedis
from ops.durable import Durability, Unconfirmed
from ops.migrate import migrate
from ops.redis import command_client
from schema.calls import Appending
from schema.errors import SettingsError
from schema.events import WebhookAccepted
from schema.identity import CREATE, dedup_key, event_id_of

SYNCED = ("--appendfsync", "always")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis", extra_args=SYNCED) as server:
        yield server


class Redis72:
    """A Redis 7.2 as far as the wire goes: WAITAOF answers what the test says."""

    def __init__(self, url: str) -> None:
        self.real = command_client(url)
        self.on_disk: list[Any] = [1, 0]
        self.seen: list[tuple[str, int]] = []  # command, connection
        self.flushes: list[list[str]] = []
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number, parser = self._connections, hiredis.Reader()
        while data := await reader.read(1 << 20):
            parser.feed(data)
            flush = []
            while (command := parser.gets()) is not False:
                name = command[0].decode().upper()
                flush.append(name)
                self.seen.append((name, number))
                writer.write(encode(await self.answer(name, command)))
            self.flushes.append(flush)
        writer.close()

    async def answer(self, name: str, command: list[bytes]) -> Any:
        if name == "WAITAOF":
            return [0, 0] if command[1:3] == [b"0", b"0"] else self.on_disk
        if name in ("CLIENT", "HELLO"):
            return "OK"
        try:
            self.real.response_callbacks.clear()
            return await self.real.execute_command(*command)
        except ResponseError as error:
            return error


def encode(value: Any) -> bytes:  # noqa: PLR0911 -- a case per kind
    match value:
        case ResponseError():
            text = str(value)
            prefix = "NOSCRIPT " if "NOSCRIPT" in type(value).__name__.upper() else "ERR "
            return f"-{prefix}{text}\r\n".encode()
        case list():
            return b"*%d\r\n" % len(value) + b"".join(encode(v) for v in value)
        case int():
            return b":%d\r\n" % value
        case str():
            return f"+{value}\r\n".encode()
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(value), value)
        case dict():
            return encode([part for pair in value.items() for part in pair])
        case _:
            return b"$-1\r\n"


@asynccontextmanager
async def redis72(url: str) -> AsyncIterator[tuple[Redis72, str]]:
    made = Redis72(url)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        yield made, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0?protocol=2"
        await made.real.aclose()


async def test_one_wait_for_disk_per_group_commit_on_the_appends_connection(redis_url):
    """Forty webhooks at once: each flush is one append and one WAITAOF, in one write over one connection."""
    async with redis72(redis_url) as (server, url):
        async with open_door(door_settings(url, REQUIRE_FSYNC="true")) as door:
            server.seen.clear()
            server.flushes.clear()
            answers = await asyncio.gather(*(door.post(lead(f"L{n}")) for n in range(40)))
        assert {a.json["status"] for a in answers} == {"accepted"}
    waits = [connection for name, connection in server.seen if name == "WAITAOF"]
    appends = [connection for name, connection in server.seen if name in ("EVALSHA", "EVAL")]
    assert waits == appends
    assert 1 <= len(waits) < 40
    assert all(flush in (["EVALSHA", "WAITAOF"], ["EVAL", "WAITAOF"]) for flush in server.flushes if flush)
    assert len(entries(redis_url)) == 40


async def test_what_is_not_on_disk_in_time_is_spooled_and_stored_once(redis_url, database_url):
    """WAITAOF confirms nothing: 200 `spooled`; once it does, one entry and no duplicate of itself."""
    await migrate(database_url)
    async with (
        redis72(redis_url) as (server, url),
        open_door(door_settings(url, database_url, REQUIRE_FSYNC="true")) as door,
    ):
        server.on_disk = [0, 0]
        with capture_logs() as logs:
            assert (await door.post(lead("A"))).json["status"] == "spooled"
        names = [line["event"] for line in logs]
        assert names.count("append.unconfirmed") >= 2
        assert "append.retried" in names
        with heard("spool.empty") as emptied:
            server.on_disk = [1, 0]
            await emptied.wait()
    assert [e["lead_id"] for e in entries(redis_url)] == ["A"]
    assert entries(redis_url, "c2s:{0}:outcomes") == []


async def test_replicas_are_asked_of_waitaof_too(redis_url):
    """With both settings the write must be on the disks of the replicas as well."""
    async with redis72(redis_url) as (server, url):
        client = command_client(url)
        made = Durability(fsync=True, replicas=2, timeout_s=1)
        door = Appender(client, partitions=1, dedup_ttl_s=60, instance="d", durability=made)
        server.on_disk = [1, 1]
        with pytest.raises(Unconfirmed):
            await door.append_all([item("A")])
        server.on_disk = [1, 2]
        assert (await door.append_all([item("A")], again=True))[0].fresh
        await client.aclose()
    assert len(entries(redis_url)) == 1


async def test_redis_without_waitaof_must_sync_always(own_redis):
    """6.2: with appendfsync always the reply itself is the confirmation; with everysec it is refused."""
    async with open_door(door_settings(own_redis.url, REQUIRE_FSYNC="true")) as door:
        assert (await door.post(lead("A"))).json["status"] == "accepted"
    with redis.Redis.from_url(own_redis.url) as control:
        control.config_set("appendfsync", "everysec")
    with pytest.raises(SettingsError, match="REQUIRE_FSYNC"):
        async with open_door(door_settings(own_redis.url, REQUIRE_FSYNC="true")):
            pass
    assert len(entries(own_redis.url)) == 1


async def test_a_door_that_starts_without_redis_asks_later(own_redis, database_url):
    """Redis away at the start: webhooks are spooled; when it is back it is asked before the first append."""
    await migrate(database_url)
    own_redis.stop()
    async with open_door(door_settings(own_redis.url, database_url, REQUIRE_FSYNC="true")) as door:
        assert (await door.post(lead("A"))).json["status"] == "spooled"
        with heard("spool.empty") as emptied:
            own_redis.start()
            await emptied.wait()
    assert [e["lead_id"] for e in entries(own_redis.url)] == ["A"]


async def test_a_webhook_counts_once_a_replica_has_it(own_redis, tmp_path, database_url):
    """REQUIRE_REPLICAS=1 with a real replica: accepted and there; with the replica gone, spooled."""
    await migrate(database_url)
    with EmbeddedRedis(tmp_path / "replica") as replica:
        with redis.Redis.from_url(replica.url) as control:
            control.replicaof("127.0.0.1", own_redis.port)
            while control.info("replication")["master_link_status"] != "up":  # noqa: ASYNC110 -- another process
                await asyncio.sleep(0.05)
        settings = door_settings(
            own_redis.url, database_url, REQUIRE_REPLICAS="1", DURABLE_TIMEOUT_SECS="0.5"
        )
        async with open_door(settings) as door:
            assert (await door.post(lead("A"))).json["status"] == "accepted"
            assert [e["lead_id"] for e in entries(replica.url, STREAM)] == ["A"]
            replica.stop()
            assert (await door.post(lead("B"))).json["status"] == "spooled"


def item(lead_id: str):
    key = dedup_key(lead_id, CREATE, "v")
    event = WebhookAccepted(
        event_id=event_id_of(key), lead_id=lead_id, action=CREATE, version="v", source="webhook",
        received_at=datetime(2026, 1, 21, tzinfo=UTC), payload="{}",
    )  # fmt: skip
    return Appending(event, key)
