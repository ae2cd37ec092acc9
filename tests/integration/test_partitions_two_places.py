"""A lead in two places, one fault or command at a time, while the number of partitions is being changed."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pytest
from support_forks import run_c2s
from support_ingress import lead
from support_partitions import Fleet, fleet
from support_subjects import redis_texts
from support_system import fresh_database
from support_waiting import until

from ops.append import Appender
from ops.dead import DeadLetters, Filter
from ops.doctor import check_partitions
from ops.postgres import create_pool
from ops.recover import Recovery
from ops.redis import Client
from ops.sandbox.webhooks import webhook_body
from ops.seal import codec_of
from ops.settings import Settings
from ops.subjects import Found
from processor.reconcile.records import not_in_stream
from projections.subjects.erase import Eraser
from schema.calls import Appending
from schema.events import WebhookAccepted
from schema.identity import Partitions, partition_of
from schema.keys import Keys
from schema.webhook import parse_body

MOVED = next(name for n in count() if partition_of(name := f"moved-{n}", 3) == 2)
OLD, HOME = Keys(0), Keys(2)  # where it is by 1, and by 3


@pytest.fixture
async def running(redis_url: str, postgres_server) -> AsyncIterator[Fleet]:
    url = await fresh_database(postgres_server)
    async with fleet(redis_url, url, MAX_ATTEMPTS="1", HTTP_TIMEOUT_SECS="0.5") as made:
        yield made


def webhook(action: str = "on_create_lead", name: str = MOVED, after_s: int = 0) -> Appending:
    now = datetime.now(UTC) + timedelta(seconds=after_s)
    [item] = parse_body(webhook_body(name, action, "data", now)).elements
    event = WebhookAccepted(
        event_id=item.event_id, lead_id=name, action=action, version=item.version, source="webhook",
        received_at=datetime.now(UTC), payload=item.payload,
    )  # fmt: skip
    return Appending(event, item.dedup_key)


def door(client: Client, number: int, other: int = 0) -> Appender:
    return Appender(client, partitions=number, other=other, dedup_ttl_s=600, instance="door")


async def test_a_webhook_that_two_doors_took_at_once_is_sent_once(running):
    """Both accepted it, one by each number; the reply to the first send is lost, and so it is given up."""
    item = webhook()
    for number in (1, 3):
        assert (await door(running.redis, number).append(item)).fresh
    await running.fault(target="c2s.create_message", kind="lost_reply", times=1)
    await running.start("processor-1", 3, 1)
    ends = await running.ends(3, 2)
    assert [fields["type"] for fields in ends] == ["lead_dead_lettered", "lead_processed"]
    await read_before_it_was_sent_again(running)
    await running.start("projector", 3, 1)
    await running.ended("success", 1)


async def read_before_it_was_sent_again(running: Fleet) -> None:
    """And that only after what may have been sent before had settled."""
    state = await running.state()
    assert (len(state["messages"][MOVED]), state["calls"]["c2s.create_message"]) == (1, 1)
    assert "send_settling" in [fields.get("code") for fields in (await running.told(3))[MOVED]]


async def test_the_older_webhook_goes_first_whichever_place_it_is_in(running):
    """An update in the new place waits for the create in the old one, and a close there for the update."""
    for number, action in ((1, "on_create_lead"), (3, "on_update_lead"), (1, "on_close_lead")):
        await door(running.redis, number).append(webhook(action))
        await until(running.redis.time, partial(_is_later, await running.redis.time()))
    await running.start("processor-1", 3, 1)
    ends = await running.ends(3, 3)
    assert [fields["result"] for fields in ends] == ["sent", "unchanged", "recorded"]
    waited = [fields for fields in (await running.told(3))[MOVED] if fields.get("code") == "lead_elsewhere"]
    assert {fields["counted"] for fields in waited} == {"0"}


def _is_later(before: tuple[int, int], now: tuple[int, int]) -> bool:
    """By a millisecond: so fine is the order of two streams."""
    return now[0] > before[0] or now[1] // 1000 > before[1] // 1000


async def test_reconcile_knows_what_is_in_the_other_place(running):
    """Nothing is appended again that either place has."""
    await door(running.redis, 1).append(webhook())
    [delivery] = parse_body(lead(MOVED)).elements
    assert await not_in_stream(running.redis, [delivery], Partitions(3, 1)) == []
    assert await not_in_stream(running.redis, [delivery], Partitions(1, 3)) == []
    assert await not_in_stream(running.redis, [delivery], Partitions(3)) == [delivery]


async def test_the_contact_of_the_last_event_is_known_in_the_other_place(running):
    """An update in the new place of a lead that was messaged in the old one sends nothing, record or not."""
    await door(running.redis, 1).append(webhook())
    await running.start("processor-1", 1, 3)
    await running.ends(3, 1)
    for after_s, number in enumerate((3, 1, 3)):
        await door(running.redis, number).append(webhook("on_update_lead", after_s=after_s))
    ends = await running.ends(3, 4)
    assert [fields["result"] for fields in ends] == ["sent", "unchanged", "unchanged", "unchanged"]
    assert await running.messages() == {MOVED: 1}


async def test_a_repeat_is_noted_where_the_webhook_is(running):
    """By whichever door, also once the dedup key has lapsed between the look and the append."""
    item = webhook()
    await door(running.redis, 1, 3).append(item)
    assert not (await door(running.redis, 3, 1).append(item)).fresh
    assert await running.redis.xlen(OLD.outcomes) == 1

    class Lapsing(Appender):
        async def _known_elsewhere(self, items):
            found = await super()._known_elsewhere(items)
            await running.redis.delete(OLD.dedup(item.dedup_key))
            return found

    lapsing = Lapsing(running.redis, partitions=3, other=1, dedup_ttl_s=600, instance="door")
    mixed = [item, webhook(name="another"), webhook(name="third")]
    done = await lapsing.append_all(mixed)
    assert [one.fresh for one in done] == [True, True, True]
    assert await running.redis.xlen(HOME.webhooks) >= 1
    assert not (await door(running.redis, 3, 1).append(item)).fresh


async def test_a_dead_letter_goes_to_its_leads_new_home(running):
    """And is read before it is sent, after what may be under way from the old place has settled."""
    await running.start("projector", 1, 3)
    await running.start("processor-1", 1, 3)
    await door(running.redis, 1, 3).append(webhook())
    await running.fault(target="c2s.create_message", kind="lost_reply", times=1)
    await running.ended("failed", 1)
    for name in ("processor-1", "projector"):
        await running.replace(name, 3)
    dead = DeadLetters(running.redis, running.counting(3))
    [letter] = [found async for found in dead.found(Filter())]
    await dead.replay(letter, "test")
    await running.ended("success", 1)
    await read_before_it_was_sent_again(running)
    assert await running.redis.xlen(HOME.webhooks) == 1
    assert [found async for found in dead.found(Filter())] == []


async def test_what_is_lost_in_the_old_place_comes_back_in_the_new_one(running):
    """`c2s recover` takes nothing for lost that is in the old place, and puts back once what is not."""
    await running.start("projector", 1, 3)
    await door(running.redis, 1, 3).append(webhook())
    await running.ended("received", 1)
    settings = running.counting(3, 1)
    assert await recovered(running.redis, settings) == 0
    [(entry_id, _)] = await running.redis.xrange(OLD.webhooks)
    await running.redis.xadd(HOME.webhooks, {"other": "entry"}, id=entry_id)  # the same id says nothing
    await running.redis.xdel(OLD.webhooks, entry_id)
    assert [await recovered(running.redis, settings) for _ in range(2)] == [1, 0]
    assert await running.redis.xlen(HOME.webhooks) == 2


async def recovered(client: Client, settings: Settings) -> int:
    pool = await create_pool(settings, min_size=0, max_size=2, application_name="test")
    done = await Recovery(client, pool, settings).run()
    await pool.close()
    return done.events


async def test_somebody_is_erased_in_both_places(running):
    """Entries, letters and outcomes of either place; a repeat is known in both and its body is not kept."""
    await running.start("projector", 1, 3)
    await running.start("processor-1", 1, 3)
    await running.start("door-1", 1, 3)
    await running.fault(target="c2s.create_message", kind="error", status=400, times=1)
    actions = ("on_create_lead", "on_update_lead")
    bodies = [lead(MOVED, action, customer="marked-person") for action in actions]
    await running.post("door-1", bodies[0])
    await running.ended("failed", 1)
    await running.replace("door-1", 3, 1)
    await running.post("door-1", bodies[1])
    await running.ended("success", 1)
    settings = running.counting(3, 1).model_copy(update={"heartbeat_secs": 0.2})
    eraser = Eraser(running.record, running.redis, settings, codec_of(settings))
    await eraser.erase(Found((), (MOVED,), ()), actor="test", reason="asked for")
    for body in bodies:
        assert (await running.post("door-1", body)).json["status"] == "duplicate"
    assert not [name for name, text in (await redis_texts(running.redis)).items() if "marked-person" in text]


async def test_the_operator_is_told_whether_the_change_is_over(running):
    """`c2s partitions`, `c2s partitions clear` and `c2s doctor`, from the wrong number to the cleared one."""
    await door(running.redis, 3).append(webhook())
    await running.start("projector", 3)
    await running.ended("received", 1)
    assert await said(running.counting(1)) == ("FAIL", "1 unfinished webhooks are not")
    assert await said(running.counting(1, 3)) == ("warn", "on the way from or")
    assert command(running, "partitions", STREAM_PARTITIONS="1") == (1, [True, False])
    assert command(running, "partitions", "clear", STREAM_PARTITIONS="1") == (1, {"cleared": [], "left": [2]})
    await running.start("processor-1", 1, 3)
    await running.ended("success", 1)
    await running.stop("processor-1")
    both = {"STREAM_PARTITIONS": "1", "STREAM_PARTITIONS_OTHER": "3"}
    assert command(running, "partitions", **both) == (0, [True, True, True])
    assert await said(running.counting(1)) == ("warn", "2 of a larger number")
    cleared = {"cleared": [1, 2], "left": []}
    assert command(running, "partitions", "clear", STREAM_PARTITIONS="1") == (0, cleared)
    assert await said(running.counting(1)) == ("ok", "1")
    assert not await running.redis.exists(HOME.webhooks)
    assert await running.redis.xinfo_groups(OLD.webhooks)


async def said(settings: Settings) -> tuple[str, str]:
    [finding] = await check_partitions(settings)
    return finding.level, " ".join(finding.found.split()[:5])


def command(running: Fleet, *arguments: str, **more: str) -> tuple[int, object]:
    """Exit code and answer of `c2s`; of the list, whether each partition is drained."""
    s = running.settings
    places = {"REDIS_URL": s.redis_url.get_secret_value(), "DATABASE_URL": s.database_url.get_secret_value()}
    done = run_c2s(*arguments, "--json", env=places | more)
    answer = json.loads(done.stdout)
    return done.returncode, [row["drained"] for row in answer] if isinstance(answer, list) else answer
