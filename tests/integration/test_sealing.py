"""Sealing in a running system: what stands in Redis and Postgres, and what it is read with."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import asyncpg
import pytest
from structlog.testing import capture_logs
from support_engine import KEYS, World, projecting
from support_forks import run_c2s

from ingress.settled import Record
from ops.dead import DeadLetters, Filter
from ops.persons import Persons
from ops.postgres import create_pool
from ops.rotate_keys import rotate
from ops.seal import SealingCodec, codec_of, key_of
from ops.settings import Settings
from ops.settings.privacy import Privacy
from ops.subjects import Found
from projections.models import models
from projections.rebuild.run import Rebuild
from projections.subjects.erase import Eraser
from schema.errors import CodecError, KeyMissing

OLD, NEW = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"payload_keys": Privacy(payload_keys=",".join(keys)).payload_keys})


@pytest.fixture
async def sealed(world: World) -> AsyncIterator[World]:
    """A world whose processes all seal."""
    world.settings = with_keys(world.settings, OLD)
    conn = await asyncpg.connect(world.settings.database_url.get_secret_value())
    await conn.execute("TRUNCATE people, lead_people, data_keys, webhook_duplicates, attempts")
    yield world
    await conn.close()


def texts(value: object) -> Iterator[str]:
    """Every text in JSON values that is long enough to be looked for."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str) and len(value) > 5:
        yield value


async def everything(world: World) -> str:
    """All of Redis and of Postgres, as text."""
    said = []
    for key in await world.redis.keys("*"):
        said.append(key)
        match await world.redis.type(key):
            case b"stream":
                said.append(repr(await world.redis.xrange(key)).encode())
            case b"hash":
                said.append(repr(await world.redis.hgetall(key)).encode())
            case b"zset":
                said.append(repr(await world.redis.zrange(key, 0, -1)).encode())
            case b"string":
                said.append(await world.redis.get(key))
    conn = await asyncpg.connect(world.settings.database_url.get_secret_value())
    for row in await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        rows = await conn.fetch(f"SELECT t::text AS said FROM {row['tablename']} t")  # noqa: S608 -- ours
        said += [r["said"].encode() for r in rows]
    await conn.close()
    return b"\n".join(said).decode()


def sealed_texts(everything: str) -> set[str]:
    """Every text that is sealed under a data key of its own."""
    return set(re.findall(r"sealed:v1:[0-9a-f]{8}:[A-Za-z0-9+/=]+", everything))


def data_keyed(text: str) -> bytes:
    """What of a sealed text its data key alone opens: it stays as it is when that is wrapped anew."""
    return base64.b64decode(text.rpartition(":")[2])[60:]


def text_of(codec: SealingCodec, event_id: str, stored: set[str]) -> str:
    """The sealed payload of an event among texts."""
    for text in stored:
        with suppress(CodecError):
            codec.open(event_id, "payload", text)
            return text
    raise AssertionError


async def test_nothing_of_a_person_is_readable_but_with_the_keys(sealed):
    """Payload, steps, caches, message, findings and persons are sealed; ids, action and status are not."""
    async with projecting(sealed) as catch_up, sealed.engine():
        event_id = await sealed.accept("seal-1")
        [done] = await sealed.ends(1)
        await catch_up()
        codec = codec_of(sealed.settings)
        found = json.loads(codec.open(event_id, "enrichment", done.enrichment))
        message = codec.open(event_id, "message", done.message)
    person = found["people"][0]
    assert person["cpf"]
    assert person["profile"]
    [(_, entry)] = await sealed.redis.xrange(KEYS.webhooks)
    customer = json.loads(codec.open(event_id, "payload", entry[b"payload"].decode()))
    wanted = {*texts(found), *texts(customer["data"]["attributes"]["customer"]), *message.splitlines()[1:-1]}
    everywhere = await everything(sealed)
    assert [text for text in wanted if text.strip() and text in everywhere] == []
    assert len(wanted) > 15
    assert event_id in everywhere
    assert "on_create_lead" in everywhere


async def test_a_rebuild_gives_the_same_sealed_rows(sealed):
    """Persons are sealed the same way again: no row differs, and their keys are found, not made anew."""
    async with projecting(sealed) as catch_up, sealed.engine():
        for number in range(5):
            await sealed.accept(f"seal-rebuilt-{number}")
        await sealed.ends(5)
        await catch_up()
    url = sealed.settings.database_url.get_secret_value()
    conn = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    keys = await conn.fetch("SELECT * FROM data_keys ORDER BY name")
    assert len(keys) > 1
    for way in ("check", "swap", "check"):
        made = Rebuild(conn, sealed.redis, models(codec_of(sealed.settings)), lambda *_: None)
        report = await getattr(made, way)()
        assert report.differences == 0, report.examples
    assert await conn.fetch("SELECT * FROM data_keys ORDER BY name") == keys
    await conn.close()


async def test_the_trigger_reads_sealed_persons(sealed):
    """The CPFs of a lead come out of the record with the keys, and none where a key is gone."""
    async with projecting(sealed) as catch_up, sealed.engine():
        event_id = await sealed.accept("seal-trigger")
        [done] = await sealed.ends(1)
        await catch_up()
    codec = codec_of(sealed.settings)
    found = json.loads(codec.open(event_id, "enrichment", done.enrichment))
    pool = await create_pool(sealed.settings, min_size=0, max_size=2, application_name="test")
    standing = await Record(pool, codec).standing(event_id)
    assert standing is not None
    assert set(standing.cpfs) == {person["cpf"] for person in found["people"]}
    await pool.execute("DELETE FROM data_keys WHERE name LIKE 'person:%'")
    with capture_logs() as logs:
        assert await Record(pool, codec).cpfs("seal-trigger") == ()
    assert [line["event"] for line in logs] == ["persons.unreadable"]
    await pool.close()


async def test_work_that_needs_a_missing_key_waits_for_it(sealed):
    """Nothing is given up, no attempt is spent, and it goes on where the key is set."""
    async with sealed.engine(payload_keys=with_keys(sealed.settings, NEW).payload_keys):
        with capture_logs() as logs:
            await sealed.accept("seal-missing")
            while not any(e.type == "attempt_failed" for e in await sealed.outcomes()):
                await sealed.redis.xread({KEYS.outcomes: "$"}, block=20)
    [failed] = [e for e in await sealed.outcomes() if e.type == "attempt_failed"]
    assert (failed.code, failed.counted) == ("KeyMissing", 0)
    assert "payload.key_missing" in [line["event"] for line in logs]
    [entry_id] = await sealed.redis.zrange(KEYS.retries, 0, -1)
    await sealed.redis.zadd(KEYS.retries, {entry_id: 0})
    async with sealed.engine("p2", payload_keys=with_keys(sealed.settings, NEW, OLD).payload_keys):
        [done] = await sealed.ends(1)
    assert (done.result, done.attempt) == ("sent", 1)


async def test_rotation_under_traffic_fails_no_read_and_frees_the_old_key(sealed):
    """While leads are worked, everything is wrapped with the new key; then the old one is needed nowhere."""
    both, new = with_keys(sealed.settings, NEW, OLD), with_keys(sealed.settings, NEW)
    codec, url = codec_of(new), sealed.settings.database_url.get_secret_value()
    conn = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    async with projecting(sealed) as catch_up, sealed.engine():
        for number in range(12):
            await sealed.accept(f"rotated-{number}")
        await sealed.ends(12)
        await catch_up()
    sealed.settings = both
    async with projecting(sealed) as catch_up, sealed.engine("p2"):
        turning = asyncio.create_task(rotate(both, lambda *_: None))
        for number in range(12):
            await sealed.accept(f"meanwhile-{number}")
            await catch_up()
        done = "SELECT count(*) FROM webhook_events WHERE status = 'success'"
        async with asyncio.timeout(60):
            while await conn.fetchval(done) < 24:
                await catch_up()
        await turning
    unread = "SELECT count(*) FROM attempts WHERE error_code IN ('KeyMissing', 'CodecError', 'unexpected')"
    assert await conn.fetchval(unread) == 0
    assert [use for use in await rotate(both, lambda *_: None) if use.standing != "newest"] == []
    assert await conn.fetchval("SELECT count(*) FROM people WHERE profile LIKE 'sealed:%'")
    report = await Rebuild(conn, sealed.redis, models(codec), lambda *_: None).check()
    assert report.differences == 0, report.examples
    for row in await conn.fetch("SELECT id::text, message, raw_payload #>> '{}' AS raw FROM webhook_events"):
        assert json.loads(codec.open(row["id"], "payload", row["raw"]))
        assert row["message"] is None or "ref:" in codec.open(row["id"], "message", row["message"])
    who = await Persons(codec).named(conn, [row["cpf"] for row in await conn.fetch("SELECT cpf FROM people")])
    for row in await conn.fetch("SELECT cpf, cpf_sealed FROM people"):
        assert len(who[row["cpf"]].open("cpf", row["cpf_sealed"])) == 11
    await conn.close()


async def test_a_backup_says_nothing_of_the_erased_once_the_old_key_is_destroyed(sealed):
    """Rotation wraps anew only what is still there: who has today's keys and stores opens no older copy."""
    conn = await asyncpg.connect(sealed.settings.database_url.get_secret_value())
    old, new = codec_of(sealed.settings), codec_of(with_keys(sealed.settings, NEW))
    async with projecting(sealed) as catch_up, sealed.engine():
        gone, stays = [await sealed.accept(lead) for lead in ("backup-erased", "backup-stays")]
        await sealed.ends(2)
        await catch_up()
    backup = sealed_texts(await everything(sealed))
    eraser = Eraser(conn, sealed.redis, sealed.settings.model_copy(update={"heartbeat_secs": 0.2}), old)
    await eraser.erase(Found((), ("backup-erased",), ()), actor="test", reason="asked for")
    await rotate(with_keys(sealed.settings, NEW, OLD), lambda *_: None)
    await conn.close()
    live = sealed_texts(await everything(sealed))
    assert {key_of(text) for text in live} == {new.newest}
    for text in backup:
        with pytest.raises(KeyMissing):
            new.open(gone, "payload", text)
    # Nor does a data key of today open it: the texts of the erased have none any more.
    kept = {data_keyed(text) for text in live}
    assert data_keyed(text_of(old, stays, backup)) in kept
    assert data_keyed(text_of(old, gone, backup)) not in kept


async def test_rotation_reaches_what_waits_in_redis(sealed):
    """Finished steps and dead letters open with the new key alone afterwards; a letter keeps its story."""
    both, new = with_keys(sealed.settings, NEW, OLD), codec_of(with_keys(sealed.settings, NEW))
    await sealed.fault(target="c2s.create_message", kind="error", status=422, times=1)
    async with sealed.engine():
        event_id = await sealed.accept("rotated-dead")
        [end] = await sealed.ends(1)
    assert end.type == "lead_dead_lettered"
    await rotate(both, lambda *_: None)
    steps = {k.decode(): v.decode() for k, v in (await sealed.redis.hgetall(KEYS.steps(event_id))).items()}
    assert json.loads(new.open(event_id, "people", steps["people"]))
    [letter] = [x async for x in DeadLetters(sealed.redis, both).found(Filter(event_id=event_id))]
    assert json.loads(new.open(event_id, "payload", letter.event.payload))
    assert letter.error == end.error


async def test_messages_from_before_there_were_keys_are_sealed_by_a_rotation(world):
    """Their archive and their rows alike, so that a rebuild (which seals the persons) finds them equal."""
    conn = await asyncpg.connect(
        world.settings.database_url.get_secret_value(), server_settings={"timezone": "UTC"}
    )
    await conn.execute("TRUNCATE people, lead_people, data_keys, webhook_duplicates, attempts")
    async with projecting(world) as catch_up, world.engine():
        event_id = await world.accept("clear-before")
        await world.ends(1)
        await catch_up()
    said = await conn.fetchval("SELECT message FROM webhook_events")
    settings = with_keys(world.settings, NEW)
    await rotate(settings, lambda *_: None)
    codec = codec_of(settings)
    stored = await conn.fetchval("SELECT message FROM webhook_events")
    assert stored.startswith("sealed:")
    assert codec.open(event_id, "message", stored) == said
    assert not await conn.fetchval("SELECT count(*) FROM event_log WHERE fields->>'enrichment' LIKE '{%'")
    for way, differences in (("swap", None), ("check", 0)):
        report = await getattr(Rebuild(conn, world.redis, models(codec), lambda *_: None), way)()
        assert differences is None or report.differences == differences, report.examples
    assert await conn.fetchval("SELECT count(*) FROM people WHERE name NOT LIKE 'sealed:%'") == 0
    await conn.close()


async def test_the_commands_say_what_needs_which_key(sealed):
    """`keys status` and `rotate`: exit code 2 without keys, 1 where one is missing, 0 once all is new."""
    async with projecting(sealed) as catch_up, sealed.engine():
        await sealed.accept("seal-cli")
        await sealed.ends(1)
        await catch_up()

    def c2s(*words: str, keys: str) -> subprocess.CompletedProcess[str]:
        env = {
            "REDIS_URL": sealed.settings.redis_url.get_secret_value(),
            "DATABASE_URL": sealed.settings.database_url.get_secret_value(),
            **({"PAYLOAD_KEYS": keys} if keys else {}),
        }
        return run_c2s("keys", *words, env=env)

    new = c2s("new", keys="").stdout.strip()
    assert len(base64.b64decode(new)) == 32
    without = c2s("status", keys="")
    assert (without.returncode, "PAYLOAD_KEYS" in without.stderr) == (2, True)
    missing = c2s("status", "--json", keys=new)
    assert missing.returncode == 1
    assert {use["standing"] for use in json.loads(missing.stdout)} == {"MISSING"}
    assert c2s("rotate", keys=new).returncode == 1
    assert c2s("rotate", keys=f"{new},{OLD}").returncode == 0
    status = c2s("status", "--json", keys=new)
    assert status.returncode == 0
    assert {use["standing"] for use in json.loads(status.stdout)} == {"newest"}
