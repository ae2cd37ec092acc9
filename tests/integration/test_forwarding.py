"""Forwarding during a migration: FORWARD_URL gets each accepted webhook as it came, once, whatever dies."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import orjson
import pytest
import redis
from structlog.testing import capture_logs
from support_ingress import SECRET, TOKEN, WEBHOOKS, door_settings, heard, lead, open_door, signed
from support_rawhttp import Behaviour, Seen, free_port, reply, serving, silence
from support_waiting import until

from ops.dev.redis_server import EmbeddedRedis
from ops.migrate import migrate
from ops.settings import Settings, load_settings
from ops.sign import sign_standard
from schema.errors import SettingsError

COPIES = "c2s:{0}:forwards"
RESTING = "SELECT count(*) FROM forwards WHERE state = 'waiting' AND attempts > 0 AND last_at IS NOT NULL"


@pytest.fixture
async def url(database_url: str) -> AsyncIterator[str]:
    """A migrated database with nothing to be passed on."""
    await migrate(database_url)
    yield database_url
    await fetch(database_url, "TRUNCATE forwards, ingress_spool")


async def fetch(url: str, statement: str) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetch(statement)
    finally:
        await conn.close()


async def until_rows(url: str, statement: str, wanted: list[tuple[object, ...]]) -> None:
    """Wait for what another task writes."""
    await until(lambda: fetch(url, statement), lambda rows: [tuple(row) for row in rows] == wanted)


def settings_for(redis_url: str, url: str, receiver: str, **more: str) -> Settings:
    return door_settings(redis_url, url, FORWARD_URL=f"{receiver}/hook/secret-path?x=1", **more)


def header(seen: Seen, name: str) -> str | None:
    for line in seen.head.split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        if key.lower() == name.lower():
            return value
    return None


def after(count: int, first: Behaviour, later: Behaviour) -> Behaviour:
    """Behave so for the first requests of the server, and otherwise afterwards."""
    seen: list[Seen] = []

    async def behave(request: Seen, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        await (first if len(seen) <= count else later)(request, writer)

    return behave


async def delivered(url: str, count: int) -> None:
    await until_rows(url, "SELECT state, count(*) FROM forwards GROUP BY state", [("delivered", count)])


async def test_a_webhook_is_passed_on_as_it_came(redis_url: str, url: str) -> None:
    """Body byte for byte, signature headers and content type; its copy then keeps no body anywhere."""
    raw = b'{ "hook_action":"on_create_lead",  "id": 7, "nome": "Jo\xc3\xa3o \\u00e3" }\n'
    headers = signed(raw) | {"Content-Type": "application/json; charset=utf-8", "X-Other": "stays here"}
    async with (
        serving(reply(200, b"Accepted")) as receiver,
        open_door(settings_for(redis_url, url, receiver.url)) as door,
    ):
        assert (await door.post(raw, headers)).json["status"] == "accepted"
        await delivered(url, 1)
    (seen,) = receiver.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/hook/secret-path?x=1", raw)
    assert header(seen, "X-C2S-Signature") == headers["X-C2S-Signature"]
    assert header(seen, "Content-Type") == headers["Content-Type"]
    assert header(seen, "X-Other") is None
    (row,) = await fetch(url, "SELECT * FROM forwards")
    assert (row["body"], row["lead_id"], row["attempts"], row["last_error"]) == (None, "7", 1, None)
    with redis.Redis.from_url(redis_url) as client:
        assert client.xlen(COPIES) == 0


async def test_standard_webhooks_headers_are_passed_on(redis_url: str, url: str) -> None:
    """A receiver that verifies Standard Webhooks can: id, timestamp and signatures go along."""
    raw, stamp = lead("S"), "1736899200"
    headers = {"webhook-id": "m1", "webhook-timestamp": stamp}
    headers["webhook-signature"] = sign_standard(SECRET, "m1", stamp, raw)
    async with serving(reply(204, b"")) as receiver:
        wide = settings_for(redis_url, url, receiver.url, C2S_WEBHOOK_TIMEOUT_SECS="4000000000")
        async with open_door(wide) as door:
            assert (await door.post(raw, headers)).status == 200
            await delivered(url, 1)
    assert {name: header(receiver.requests[0], name) for name in headers} == headers


async def test_what_is_passed_on_and_what_is_not(redis_url: str, url: str) -> None:
    """Unknown actions and unsigned ones by token are; repeats, refused ones and the trigger's are not."""
    async with (
        serving(reply(200)) as receiver,
        open_door(settings_for(redis_url, url, receiver.url, TRIGGER_WAIT_SECS="0")) as door,
    ):
        assert (await door.post(lead("A"))).json["status"] == "accepted"
        assert (await door.post(lead("A"))).json["status"] == "duplicate"
        assert (await door.post(lead("B", "on_dance"))).json["status"] == "ignored"
        assert (await door.post(lead("C"), {}, f"{WEBHOOKS}/{TOKEN}")).json["status"] == "accepted"
        assert (await door.post(lead("D"), {})).status == 401
        assert (await door.post(b"{}")).status == 422
        key = {"X-API-Key": "trigger-key"}
        assert (await door.ask("GET", "/api/v1/leads/process?id=T", headers=key)).status == 202
        await delivered(url, 3)
    assert sorted(seen.body for seen in receiver.requests) == [lead("A"), lead("B", "on_dance"), lead("C")]
    assert TOKEN not in "".join(seen.head for seen in receiver.requests)


async def test_a_batch_is_passed_on_once_and_whole(redis_url: str, url: str) -> None:
    """The request as it came, in any partition and also with a refused element; its repeat is not."""
    raw = b'[ {"id":"A"},  {"id":"no good"}, {"id":"B"}, {"id":"C"} ]'
    async with (
        serving(reply(200)) as receiver,
        open_door(settings_for(redis_url, url, receiver.url, STREAM_PARTITIONS="4")) as door,
    ):
        assert (await door.post(raw)).json["accepted"] == 3
        assert (await door.post(raw)).json["duplicates"] == 3
        assert (await door.post(lead("last"))).status == 200
        await delivered(url, 2)
    bodies = [seen.body for seen in receiver.requests]
    assert sorted(bodies) == sorted([raw, lead("last")])
    assert {header(s, "X-C2S-Signature") for s in receiver.requests if s.body == raw} == set(
        signed(raw).values()
    )


async def test_the_answer_does_not_wait_for_the_receiver(redis_url: str, url: str) -> None:
    """With a receiver that never answers, C2S has its 200 while the copy is still under way."""
    async with (
        serving(silence) as receiver,
        open_door(settings_for(redis_url, url, receiver.url, SHUTDOWN_DEADLINE_SECS="0.1")) as door,
    ):
        assert (await door.post(lead())).json["status"] == "accepted"
        await until_rows(url, "SELECT state, attempts FROM forwards", [("waiting", 1)])
        assert (await door.post(lead("L2"))).json["status"] == "accepted"


async def test_failures_are_retried(redis_url: str, url: str) -> None:
    """Whatever the receiver answers but 2xx is tried again; log and row say why, and nobody names the URL."""
    async with serving(after(1, reply(400), reply(200))) as receiver:
        with capture_logs() as logs:
            async with open_door(settings_for(redis_url, url, receiver.url)) as door:
                assert (await door.post(lead())).status == 200
                await until_rows(url, "SELECT state, last_error FROM forwards", [("waiting", "answered 400")])
                metrics = await (await door.client.get(f"http://127.0.0.1:{door.port}/metrics")).text()
                await fetch(url, "UPDATE forwards SET due_at = NOW()")
                assert (await door.post(lead("L2"))).status == 200  # anything new makes it look at once
                await delivered(url, 2)
    assert 'c2s_forwards_total{result="failed"} 1.0' in metrics
    failed = [line for line in logs if line["event"] == "forward.failed"]
    assert [(f["lead_id"], f["error"], f["attempt"]) for f in failed] == [("L1", "answered 400", 1)]
    assert "secret-path" not in repr(logs) + metrics


async def test_a_receiver_that_comes_back_gets_everything(redis_url: str, url: str) -> None:
    """Away, it is asked with pauses and one copy at a time; back, it gets all, of a door started since."""
    port = free_port()
    settings = settings_for(redis_url, url, f"http://127.0.0.1:{port}")
    async with open_door(settings) as door:
        for n in range(12):
            assert (await door.post(lead(f"L{n}"))).status == 200
        await until_rows(url, "SELECT count(*) FROM forwards", [(12,)])
        await until_rows(url, f"SELECT ({RESTING}) > 0", [(True,)])
        errors = await fetch(url, "SELECT DISTINCT last_error FROM forwards WHERE last_error IS NOT NULL")
    assert [row[0] for row in errors] == ["no answer: ClientConnectorError"]
    await fetch(url, "UPDATE forwards SET due_at = NOW()")
    async with serving(reply(200)) as receiver, open_door(settings_for(redis_url, url, receiver.url)):
        await delivered(url, 12)
    assert len(receiver.requests) == 12


async def test_a_crash_right_after_the_answer_loses_nothing(redis_url: str, url: str) -> None:
    """The copy is stored with the webhook: a door that died before it looked leaves it to the next."""
    async with serving(reply(200)) as receiver:
        # Postgres away: this door can accept but neither move nor deliver, as if it had died at once.
        dead = settings_for(redis_url, "postgresql://nobody@127.0.0.1:1/none", receiver.url)
        async with open_door(dead) as door:
            assert (await door.post(lead())).json["status"] == "accepted"
        assert receiver.requests == []
        async with open_door(settings_for(redis_url, url, receiver.url)):
            await delivered(url, 1)
    assert [seen.body for seen in receiver.requests] == [lead()]


async def test_doors_share_the_work(redis_url: str, url: str) -> None:
    """Two doors on the same streams: every webhook arrives once."""
    async with serving(reply(200)) as receiver:
        settings = settings_for(redis_url, url, receiver.url)
        async with open_door(settings) as one, open_door(settings) as two:
            posts = [(one, two)[n % 2].post(lead(f"L{n}")) for n in range(60)]
            assert {a.json["status"] for a in await asyncio.gather(*posts)} == {"accepted"}
            await delivered(url, 60)
    assert sorted(s.body for s in receiver.requests) == sorted(lead(f"L{n}") for n in range(60))


async def test_spooled_webhooks_are_passed_on(tmp_path: Path, url: str) -> None:
    """With Redis away the copy is stored with the spool's row and delivered; drained, not again."""
    with EmbeddedRedis(tmp_path / "redis", appendonly=True) as own:
        async with (
            serving(reply(200)) as receiver,
            open_door(settings_for(own.url, url, receiver.url)) as door,
        ):
            own.stop()
            assert (await door.post(lead("S"))).json["status"] == "spooled"
            await delivered(url, 1)
            with heard("spool.empty") as emptied:
                own.start()
                await emptied.wait()
            assert (await door.post(lead("S"))).json["status"] == "duplicate"
            assert (await door.post(lead("T"))).json["status"] == "accepted"
            await delivered(url, 2)
    assert sorted(s.body for s in receiver.requests) == [lead("S"), lead("T")]


async def test_what_is_too_old_is_given_up_and_kept(redis_url: str, url: str) -> None:
    """After FORWARD_GIVE_UP_SECS a failure is the last; the body stays for a retry by hand."""
    async with serving(reply(404)) as receiver:
        settings = settings_for(redis_url, url, receiver.url, FORWARD_GIVE_UP_SECS="0.001")
        with capture_logs() as logs:
            async with open_door(settings) as door:
                assert (await door.post(lead())).status == 200
                await until_rows(url, "SELECT state FROM forwards", [("failed",)])
    assert "forward.given_up" in [line["event"] for line in logs]
    (row,) = await fetch(url, "SELECT body FROM forwards")
    assert orjson.loads(row["body"])["lead_id"] == "L1"


async def test_nothing_is_kept_without_a_setting(redis_url: str, url: str) -> None:
    """Without FORWARD_URL no copy is made."""
    async with open_door(door_settings(redis_url, url)) as door:
        assert (await door.post(lead())).status == 200
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists(COPIES) == 0
    assert await fetch(url, "SELECT * FROM forwards") == []


def test_wrong_url_names_the_setting_and_not_itself() -> None:
    """Row 42: FORWARD_URL is a capability, so its text is not repeated."""
    with pytest.raises(SettingsError, match="FORWARD_URL") as caught:
        load_settings("ingress", {"ALLOW_UNSIGNED": "true", "FORWARD_URL": "hook.example/s3cret"})
    assert "s3cret" not in str(caught.value)
