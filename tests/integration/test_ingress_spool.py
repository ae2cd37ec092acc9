"""Where webhooks go when Redis or Postgres is away: FAULTS.md rows 21, 22 and 24, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import redis
from structlog.testing import capture_logs
from support_ingress import NOWHERE, OUTCOMES, Door, door_settings, entries, events_of, heard, lead, open_door

from ops.append import Appender
from ops.dev.redis_server import EmbeddedRedis
from ops.migrate import migrate
from ops.redis import command_client
from ops.spool import Spool
from schema.calls import Appended, Appending
from schema.errors import StorageUnavailable
from schema.events import WebhookAccepted


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that the test may stop."""
    with EmbeddedRedis(tmp_path / "redis", appendonly=True) as server:
        yield server


@pytest.fixture
async def spool_url(database_url: str) -> AsyncIterator[str]:
    """A migrated database with an empty spool."""
    await migrate(database_url)
    yield database_url
    await execute(database_url, "TRUNCATE ingress_spool")


async def execute(url: str, statement: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetch(statement)
    finally:
        await conn.close()


async def post_all(door: Door, *lead_ids: str) -> list[str]:
    return [(await door.post(lead(i, "on_update_lead", n=n))).json["status"] for n, i in enumerate(lead_ids)]


async def test_redis_away_and_back(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """Row 21: `spooled` while Redis is away; drained once, in order, with times kept, when it is back."""
    async with open_door(door_settings(own_redis.url, spool_url)) as door:
        assert await post_all(door, "Z") == ["accepted"]
        own_redis.stop()
        with capture_logs() as logs:
            spooled = await post_all(door, "A", "B", "A", "C", "A")
        assert spooled == ["spooled"] * 5
        assert events_of(logs)[:3] == ["append.retried", "redis.away", "webhook.spooled"]
        assert (await door.ask("GET", "/ready")).json == {"status": "ready", "store": "spool"}
        rows = await execute(spool_url, "SELECT * FROM ingress_spool ORDER BY id")
        with heard("spool.empty") as emptied:
            own_redis.start()
            await emptied.wait()
        assert (await door.post(lead("D"))).json["status"] == "accepted"
    stored = entries(own_redis.url)
    assert [e["lead_id"] for e in stored] == ["Z", "A", "B", "A", "C", "A", "D"]
    assert [e["payload"] for e in stored[1:6]] == [r["payload"] for r in rows]
    assert [e["received_at"] for e in stored[1:6]] == [
        r["received_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ") for r in rows
    ]
    left = await execute(spool_url, "SELECT count(*) FROM ingress_spool WHERE drained_at IS NULL")
    assert left[0]["count"] == 0


async def test_many_at_once_while_redis_goes(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """A lead's webhooks keep their order over Redis going and coming back; every 200 is kept exactly once."""
    settings = door_settings(own_redis.url, spool_url)
    async with open_door(settings) as door:
        own_redis.stop()
        posts = [asyncio.ensure_future(door.post(lead("A", "on_update_lead", n=n))) for n in range(150)]
        first = await posts[0]
        with heard("spool.empty") as emptied:
            own_redis.start()
            answers = await asyncio.gather(*posts)
            await emptied.wait()
        assert first.json["status"] == "spooled"
        assert {a.status for a in answers} == {200}
        accepted = [a.json["event_id"] for a in answers]
    assert sorted(e["event_id"] for e in entries(own_redis.url)) == sorted(accepted)


async def test_spool_left_by_an_earlier_run(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """A door that starts finds what the last one spooled, with Redis away at its own start too."""
    settings = door_settings(own_redis.url, spool_url)
    own_redis.stop()
    async with open_door(settings) as door:
        assert await post_all(door, "A") == ["spooled"]
    with heard("spool.empty") as emptied:
        async with open_door(settings) as door:
            assert await post_all(door, "B") == ["spooled"]
            own_redis.start()
            await emptied.wait()
    assert [e["lead_id"] for e in entries(own_redis.url)] == ["A", "B"]


async def test_both_away(own_redis: EmbeddedRedis) -> None:
    """Row 22: 503 `unavailable` with Retry-After, and not ready; both end when Redis is back."""
    async with open_door(door_settings(own_redis.url, NOWHERE)) as door:
        own_redis.stop()
        with capture_logs() as logs:
            answer = await door.post(lead())
        ready = await door.ask("GET", "/ready")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert events_of(logs) == ["append.retried", "redis.away", "webhook.unavailable"]
        assert (ready.status, ready.code) == (503, "unavailable")
        assert (await door.ask("GET", "/health")).status == 200
        own_redis.start()
        assert (await door.post(lead())).json["status"] == "accepted"
    assert len(entries(own_redis.url)) == 1


async def test_database_without_our_table_is_no_spool(own_redis: EmbeddedRedis, postgres_server) -> None:
    """A database that was never migrated stores nothing: 503, not 500."""
    async with open_door(door_settings(own_redis.url, postgres_server.url)) as door:
        own_redis.stop()
        assert (await door.post(lead())).code == "unavailable"


@pytest.mark.parametrize(
    ("setting", "value", "back"),
    [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")],
    ids=["out-of-memory", "too-few-replicas"],
)
async def test_redis_refuses_to_write(
    own_redis: EmbeddedRedis, spool_url: str, setting: str, value: str, back: str
) -> None:
    """Row 24: a Redis that answers but refuses is treated like one that is away, and logged as such."""
    with redis.Redis.from_url(own_redis.url) as control:
        async with open_door(door_settings(own_redis.url, spool_url)) as door:
            control.config_set(setting, value)
            with capture_logs() as logs:
                assert await post_all(door, "A", "B") == ["spooled", "spooled"]
            assert events_of(logs)[0] == "redis.refused"
            assert (await door.ask("GET", "/ready")).json["store"] == "spool"
            with heard("spool.empty") as emptied:
                control.config_set(setting, back)
                await emptied.wait()
    assert [e["lead_id"] for e in entries(own_redis.url)] == ["A", "B"]


async def test_a_redis_that_cannot_write_to_its_disk(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """Rows 24 and 40: a failed snapshot makes Redis answer MISCONF: spooled until it can write."""
    (own_redis.data_dir / "taken").mkdir()  # where the snapshot would go: it cannot be written
    with redis.Redis.from_url(own_redis.url) as control:
        async with open_door(door_settings(own_redis.url, spool_url)) as door:
            control.config_set("dbfilename", "taken")
            control.config_set("save", "3600 1")
            control.bgsave()
            while control.info("persistence")["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110 -- its child
                await asyncio.sleep(0.02)
            with capture_logs() as logs:
                assert await post_all(door, "A", "B") == ["spooled", "spooled"]
            (line,) = [line for line in logs if line["event"] == "redis.refused"]
            assert "MISCONF" in line["error"]
            with heard("spool.empty") as emptied:
                control.config_set("save", "")
                await emptied.wait()
    assert [e["lead_id"] for e in entries(own_redis.url)] == ["A", "B"]


async def test_a_disk_full_under_the_spool(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """Row 40: Postgres' own word for a full disk (53100): 503 while Redis is away too, no 500."""
    await execute(
        spool_url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$",
    )
    await execute(
        spool_url,
        "CREATE TRIGGER full_disk BEFORE INSERT ON ingress_spool EXECUTE FUNCTION full_disk()",
    )
    async with open_door(door_settings(own_redis.url, spool_url)) as door:
        own_redis.stop()
        assert (await door.post(lead())).code == "unavailable"
        await execute(spool_url, "DROP TRIGGER full_disk ON ingress_spool")
        assert (await door.post(lead())).json["status"] == "spooled"
        with heard("spool.empty") as emptied:
            own_redis.start()
            await emptied.wait()
    assert len(entries(own_redis.url)) == 1


async def test_a_webhook_whose_reply_was_lost_twice(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """Row 23: taken, both replies lost, so spooled: once drained it is one entry and no duplicate."""
    client = command_client(own_redis.url)
    appender = Appender(client, partitions=1, dedup_ttl_s=60, instance="door")
    item = Appending(
        WebhookAccepted(
            event_id="8fe3a3a2-0000-5000-8000-000000000001", lead_id="A", action="on_create_lead",
            version="v", source="webhook", received_at=datetime(2026, 1, 21, tzinfo=UTC), payload="{}",
        ),
        "A:on_create_lead",
    )  # fmt: skip
    async with asyncpg.create_pool(spool_url, min_size=0, max_size=2) as pool:
        spool = Spool(pool)
        await appender.append(item)
        await spool.put([item])
        assert await spool.drain(appender) == 1
    await client.aclose()
    assert len(entries(own_redis.url)) == 1
    assert entries(own_redis.url, OUTCOMES) == []


async def test_postgres_gone_while_spooling(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """Keeping beats order: with the spool gone too, Redis is asked once more."""
    with redis.Redis.from_url(own_redis.url) as control:
        async with open_door(door_settings(own_redis.url, spool_url)) as door:
            control.config_set("maxmemory", "1")
            assert await post_all(door, "A") == ["spooled"]
            await execute(spool_url, "ALTER TABLE ingress_spool RENAME TO gone")
            assert (await door.post(lead("B"))).code == "unavailable"
            control.config_set("maxmemory", "0")
            assert await post_all(door, "C") == ["accepted"]
            with heard("spool.empty") as emptied:
                await execute(spool_url, "ALTER TABLE gone RENAME TO ingress_spool")
                await emptied.wait()
    assert [e["lead_id"] for e in entries(own_redis.url)] == ["C", "A"]


async def test_a_batch_goes_to_the_spool_whole(own_redis: EmbeddedRedis, spool_url: str) -> None:
    """Row 19 and 21 together: each good element is spooled, also one whose action is unknown."""
    async with open_door(door_settings(own_redis.url, spool_url)) as door:
        own_redis.stop()
        answer = await door.post(b'[{"id":"A"},{"id":"no good"},{"id":"B","action":"on_paint_lead"}]')
        assert [e["status"] for e in answer.json["events"]] == ["spooled", "refused", "spooled"]
        with heard("spool.empty") as emptied:
            own_redis.start()
            await emptied.wait()
    assert [e["lead_id"] for e in entries(own_redis.url)] == ["A"]
    assert [e["type"] for e in entries(own_redis.url, OUTCOMES)] == ["event_ignored"]


async def test_one_drains_at_a_time(spool_url: str) -> None:
    """Of two that drain the same spool one does; the other finds the lock taken and appends nothing."""
    async with asyncpg.create_pool(spool_url, min_size=0, max_size=4) as pool:
        spool = Spool(pool)
        await execute(
            spool_url,
            "INSERT INTO ingress_spool (event_id, lead_id, action, version, source, received_at, payload, "
            "dedup_key, known) SELECT gen_random_uuid(), 'L' || n, 'on_create_lead', 'v', 'webhook', now(), "
            "'{}', 'L' || n || ':on_create_lead', true FROM generate_series(1, 100) n",
        )
        appender = Slow()
        first = asyncio.create_task(spool.drain(appender))
        await appender.busy.wait()
        assert await spool.drain(Never()) == 0
        assert not await spool.is_empty()
        appender.go.set()
        assert await first == 100
        assert appender.leads == [f"L{n}" for n in range(1, 101)]
        assert await spool.is_empty()


async def test_a_failed_drain_marks_nothing(spool_url: str) -> None:
    """Rows stay in the spool until the stream has them."""
    await execute(
        spool_url,
        "INSERT INTO ingress_spool (event_id, lead_id, action, version, source, received_at, payload, "
        "dedup_key, known) VALUES (gen_random_uuid(), 'L', 'on_create_lead', 'v', 'webhook', now(), '{}', "
        "'L:on_create_lead', true)",
    )
    async with asyncpg.create_pool(spool_url, min_size=0, max_size=4) as pool:
        with pytest.raises(StorageUnavailable):
            await Spool(pool).drain(Never())
        assert not await Spool(pool).is_empty()


class Slow:
    """Appends once it is told to go on."""

    def __init__(self) -> None:
        self.busy, self.go = asyncio.Event(), asyncio.Event()
        self.leads: list[str] = []

    async def append_all(self, items, *, again=False):
        self.busy.set()
        await self.go.wait()
        self.leads += [i.event.lead_id for i in items]
        return [Appended(fresh=True, event_id=i.event.event_id, entry_id="1-1") for i in items]


class Never:
    """A Redis that is away."""

    async def append_all(self, items, *, again=False):
        raise StorageUnavailable("away")
