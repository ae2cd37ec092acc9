"""The protocol of the Lua scripts, over fakeredis, a real Redis and the simulation's model of Redis alike."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import fakeredis.aioredis
import pytest
import redis.asyncio as aioredis

from ops.append import Appender
from ops.redis import Client, command_client, run
from schema import calls, holding, replaying
from schema.calls import Appending, Entered, Entry, Finishing
from schema.events import (
    AttemptFailed,
    LeadDeadLettered,
    LeadProcessed,
    WebhookAccepted,
    decode,
    text_fields,
)
from schema.holding import Note
from schema.identity import CREATE, UPDATE, dedup_key, event_id_of
from schema.keys import GROUP, Keys
from schema.ticking import read_tick
from schema.ticking import tick as ticking
from simulation.client import direct
from simulation.redis_model import RedisModel
from simulation.scripts import scripts

KEYS = Keys(0)
RECEIVED = datetime(2026, 1, 21, 13, 30, tzinfo=UTC)


@pytest.fixture(params=["fakeredis", "model", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    made: aioredis.Redis
    if request.param == "fakeredis":
        made = fakeredis.aioredis.FakeRedis(version=(6, 2))
    elif request.param == "model":
        made = direct(RedisModel(lambda: time.time_ns() // 1000, scripts().run))
    else:
        made = command_client(request.getfixturevalue("redis_url"))
    await made.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    yield made
    await made.aclose()


@pytest.fixture
async def real_client(redis_url: str) -> AsyncIterator[Client]:
    made = command_client(redis_url)
    await made.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    yield made
    await made.aclose()


def webhook(lead: str, version: str = "v1", action: str = CREATE) -> Appending:
    key = dedup_key(lead, action, version)
    event = WebhookAccepted(
        event_id=event_id_of(key),
        lead_id=lead,
        action=action,
        version=version,
        source="webhook",
        received_at=RECEIVED,
        payload="{}",
    )
    return Appending(event, key)


def appender(client: Client) -> Appender:
    return Appender(client, partitions=1, dedup_ttl_s=60, instance="door")


async def accept(client: Client, *items: Appending) -> None:
    for appended in await appender(client).append_all(items):
        assert appended.fresh


async def read(client: Client, instance: str, count: int = 10) -> list[Entry]:
    reply = await client.xreadgroup(GROUP, instance, {KEYS.webhooks: ">"}, count=count)
    return [Entry(i.decode(), decode(text_fields(f))) for _, rows in reply for i, f in rows]


async def enter(client: Client, instance: str, entries: list[Entry], ttl_s: float = 30) -> list[Entered]:
    call = calls.enter(KEYS, entries, instance=instance, lease_ttl_s=ttl_s, steps_ttl_s=60, wake=True)
    return calls.read_enter(await run(client, call), KEYS, entries, instance)


async def finish(client: Client, instance: str, *items: Finishing, take: bool = True):
    call = calls.finish(KEYS, items, instance=instance, steps_ttl_s=60, take_next=take)
    return calls.read_finish(await run(client, call))


async def tick(client: Client, instance: str, min_idle_s: float = 0.0):
    call = ticking(KEYS, instance=instance, min_idle_s=min_idle_s, most=10, cursor="0-0")
    return read_tick(await run(client, call))


async def outcomes(client: Client) -> list[str]:
    return [decode(text_fields(f)).type for _, f in await client.xrange(KEYS.outcomes)]


def common(entry: Entry, entered: Entered) -> dict:
    e = entry.event
    return {
        "event_id": e.event_id,
        "lead_id": e.lead_id,
        "action": e.action,
        "received_at": e.received_at,
        "attempt": entered.attempt,
        "fence": entered.lease.fence,
        "instance": entered.lease.instance,
    }


def done(entry: Entry, entered: Entered) -> Finishing:
    return Finishing(entry, entered.lease, LeadProcessed(**common(entry, entered), result="sent"))


def retry(entry: Entry, entered: Entered, delay_s: float, *, counted: int = 1, clean: bool = True):
    outcome = AttemptFailed(**common(entry, entered), error="later", counted=counted)
    return Finishing(entry, entered.lease, outcome, delay_s=delay_s, clean=clean)


async def test_append_takes_a_webhook_once(client):
    """A repeat finds the first event id, makes no entry, and is on record as a duplicate."""
    door = appender(client)
    first, again = await door.append(webhook("L1")), await door.append(webhook("L1"))
    assert (first.fresh, again.fresh) == (True, False)
    assert first.event_id == again.event_id
    assert await client.xlen(KEYS.webhooks) == 1
    assert await outcomes(client) == ["webhook_duplicated"]


async def test_two_updates_of_a_lead_are_two_events(client):
    """Updates are told apart by version; creates of the same lead are not."""
    await accept(client, webhook("L1", "v1", UPDATE), webhook("L1", "v2", UPDATE), webhook("L1", "v1"))
    assert not (await appender(client).append(webhook("L1", "v9"))).fresh


async def test_append_whose_reply_was_lost_is_not_repeated(client):
    """The same delivery appended again with `again` says accepted and leaves one entry, no duplicate."""
    item = webhook("L1")
    await accept(client, item)
    call = calls.append(KEYS, [item], dedup_ttl_s=60, instance="door", again=True)
    [reply] = calls.read_append(await run(client, call))
    assert reply.fresh
    assert await client.xlen(KEYS.webhooks) == 1
    assert await outcomes(client) == []


async def test_unknown_action_is_recorded_not_queued(client):
    """An ignored webhook is an outcome with its payload and never an entry for the processors."""
    item = webhook("L1", action="on_dance")
    await appender(client).append(Appending(item.event, item.dedup_key, known=False))
    assert await client.xlen(KEYS.webhooks) == 0
    assert await outcomes(client) == ["event_ignored"]


async def test_one_entry_of_a_lead_at_a_time_in_order(client):
    """The second entry of a lead waits for the first; finish hands it over, claimed."""
    await accept(client, webhook("L1"), webhook("L1", "v1", UPDATE))
    one, two = await read(client, "p1")
    entered, waiting = await enter(client, "p1", [one, two])
    assert (entered.state, waiting.state) == ("run", "wait")
    [finished] = await finish(client, "p1", done(one, entered))
    assert finished.held
    assert finished.next is not None
    assert finished.next[0] == two.entry_id
    [second] = await enter(client, "p1", [two])
    assert second.state == "run"
    assert second.lease.fence > entered.lease.fence


async def test_an_entry_read_later_but_entered_sooner_does_not_overtake(client):
    """Two instances read a lead's entries; the second asks first and waits, for the append set the order."""
    await accept(client, webhook("L1"), webhook("L1", "v1", UPDATE))
    [one] = await read(client, "p1", count=1)
    [two] = await read(client, "p2", count=1)
    assert [e.state for e in await enter(client, "p2", [two])] == ["wait"]
    [entered] = await enter(client, "p1", [one])
    assert entered.state == "run"
    [finished] = await finish(client, "p1", done(one, entered))
    assert finished.next is not None
    assert finished.next[0] == two.entry_id


async def test_an_entry_that_nobody_has_read_keeps_its_place(client):
    """A finish leaves the lead's next entry, not yet read, to its reader; a deleted one is swept out."""
    await accept(client, webhook("L1"), webhook("L1", "v1", UPDATE), webhook("L1", "v2", UPDATE))
    [one] = await read(client, "p1", count=1)
    [entered] = await enter(client, "p1", [one])
    [finished] = await finish(client, "p1", done(one, entered))
    assert (finished.next, finished.lost) == (None, ())
    assert await client.zcard(KEYS.queue("L1")) == 2
    [row, _] = await client.xrange(KEYS.webhooks, min=f"({one.entry_id}")
    await client.xdel(KEYS.webhooks, row[0])
    [three] = await read(client, "p1")
    assert [e.state for e in await enter(client, "p1", [three])] == ["run"]


async def test_a_lead_in_work_elsewhere_is_busy(client):
    """An entry reclaimed while the lead's lease still lives does not run."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    await enter(client, "p1", [entry])
    await tick(client, "p2")
    assert [e.state for e in await enter(client, "p2", [entry])] == ["busy"]


async def test_an_ex_owner_changes_nothing(client):
    """After another took the lead over, the sleeper's renew, record and finish are all refused."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [old] = await enter(client, "p1", [entry])
    await client.delete(KEYS.lease("L1"))  # as if its time had run out
    assert [e for e, _ in (await tick(client, "p2")).entries] == [entry.entry_id]
    [new] = await enter(client, "p2", [entry])
    assert new.state == "run"
    assert new.verify
    held = [(old.lease, entry.entry_id)]
    assert await run(client, holding.renew(KEYS, held, instance="p1", lease_ttl_s=30)) == [0]
    note = [Note(old.lease, entry.event.event_id, {"people": "x", "profiles": "y"})]
    assert await run(client, holding.record(KEYS, note, steps_ttl_s=60)) == [0]
    before = await outcomes(client)
    [refused] = await finish(client, "p1", done(entry, old))
    assert not refused.held
    assert await outcomes(client) == before
    assert (await client.xpending(KEYS.webhooks, GROUP))["pending"] == 1


async def test_an_entry_that_is_not_ours_cannot_be_entered(client):
    """An instance that slept while its entry was reclaimed and finished gets `gone`."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    await tick(client, "p2")
    assert [e.state for e in await enter(client, "p1", [entry])] == ["gone"]


async def test_steps_survive_a_crash_and_demand_verification(client):
    """What the crashed attempt recorded is handed to the next, whose send must be verified."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [first] = await enter(client, "p1", [entry])
    note = [Note(first.lease, entry.event.event_id, {"people": '{"a":1}'})]
    assert await run(client, holding.record(KEYS, note, steps_ttl_s=60)) == [1]
    await client.delete(KEYS.lease("L1"))
    await tick(client, "p2")
    [second] = await enter(client, "p2", [entry])
    assert (second.attempt, second.verify, second.steps) == (2, True, {"people": '{"a":1}'})


async def test_a_retry_keeps_its_place_and_waits_for_its_time(client):
    """A clean retry is not due early, holds back its lead's later entries, and needs no verification."""
    await accept(client, webhook("L1"), webhook("L1", "v1", UPDATE))
    one, two = await read(client, "p1")
    entered, _ = await enter(client, "p1", [one, two])
    await finish(client, "p1", retry(one, entered, 60))
    assert [e.state for e in await enter(client, "p1", [one, two])] == ["later", "wait"]
    found = await tick(client, "p2", min_idle_s=30)
    assert found.entries == []
    assert 25 < found.wait_s < 30.1  # idle time counts in whole milliseconds, and one more
    await client.zadd(KEYS.retries, {one.entry_id: 1})
    assert [i for i, _ in (await tick(client, "p2", min_idle_s=30)).entries] == [one.entry_id]
    [again] = await enter(client, "p2", [one])
    assert (again.attempt, again.verify) == (2, False)


async def test_a_throttled_attempt_is_not_counted(client):
    """The outside world's `wait` spends no attempt."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [entered] = await enter(client, "p1", [entry])
    await finish(client, "p1", retry(entry, entered, 0, counted=0))
    await tick(client, "p1")
    assert [e.attempt for e in await enter(client, "p1", [entry])] == [1]


async def test_losing_the_schedule_loses_nothing(client):
    """With the retries key deleted, the pending entry comes back by its idle time."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [entered] = await enter(client, "p1", [entry])
    await finish(client, "p1", retry(entry, entered, 3600))
    await client.delete(KEYS.retries)
    assert [i for i, _ in (await tick(client, "p2")).entries] == [entry.entry_id]


async def test_a_dead_letter_keeps_entry_and_reason(client):
    """Giving up acks the entry, tells why, and keeps the original webhook."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [entered] = await enter(client, "p1", [entry])
    outcome = LeadDeadLettered(**common(entry, entered), code="lead_gone", error="the lead is gone")
    await finish(client, "p1", Finishing(entry, entered.lease, outcome))
    [(_, letter)] = await client.xrange(KEYS.dead)
    fields = text_fields(letter)
    assert fields["event_id"] == entry.event.event_id
    assert (fields["payload"], fields["code"], fields["attempts"]) == ("{}", "lead_gone", "1")
    assert (await client.xpending(KEYS.webhooks, GROUP))["pending"] == 0


async def test_a_finished_lead_leaves_nothing_behind(client):
    """After the end there is no lease, queue, retry, step or pending entry."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [entered] = await enter(client, "p1", [entry])
    await finish(client, "p1", done(entry, entered))
    e = entry.event
    left = [KEYS.lease(e.lead_id), KEYS.queue(e.lead_id), KEYS.steps(e.event_id), KEYS.retries]
    assert await client.exists(*left) == 0
    assert (await tick(client, "p1")).wait_s is None


async def test_many_are_entered_and_ended_in_one_call(client):
    """Each has a fence of its own, larger than those before; who lost the lease is refused among others."""
    await accept(client, *(webhook(f"L{n}") for n in range(4)))
    entries = await read(client, "p1")
    first = await enter(client, "p1", entries[:2])
    await client.delete(*(e.lease.key for e in first))  # as when they lapse
    second = await enter(client, "p1", entries[1:])
    fences = [e.lease.fence for e in (*first, *second)]
    assert fences == sorted(set(fences))
    items = [done(e, s) for e, s in zip(entries, (*first, *second[1:]), strict=True)]
    ended = await finish(client, "p1", *items)
    assert [e.held for e in ended] == [False, False, True, True]
    assert (await outcomes(client)).count("lead_processed") == 2
    assert await client.zcard(KEYS.queue("L1")) == 1
    assert not await client.exists(KEYS.queue("L2"), KEYS.steps(entries[2].event.event_id))


async def test_a_lead_ends_once_in_a_call(client):
    """Its end and its handing back may come in one call (at shutdown): what comes first counts."""
    await accept(client, webhook("L1"), webhook("L1", "v2", UPDATE))
    entry, following = await read(client, "p1")
    [mine] = await enter(client, "p1", [entry])
    ended, again = await finish(client, "p1", done(entry, mine), Finishing(entry, mine.lease, None))
    assert (ended.held, again.held) == (True, False)
    assert ended.next is not None
    assert ended.next[0] == following.entry_id
    assert await client.zcard(KEYS.retries) == 0


async def test_released_work_is_due_at_once_for_anybody(client):
    """What a stopping instance hands back is claimed by the next tick, its attempt not counted."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    [entered] = await enter(client, "p1", [entry])
    await finish(client, "p1", Finishing(entry, entered.lease, None, clean=True))
    assert [i for i, _ in (await tick(client, "p2", min_idle_s=30)).entries] == [entry.entry_id]
    [again] = await enter(client, "p2", [entry])
    assert (again.attempt, again.verify) == (1, False)


async def test_a_deleted_pending_entry_is_reported(real_client):
    """An entry trimmed by hand while pending comes back as lost, not as silence (fakeredis forgets it)."""
    client = real_client
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    await client.xdel(KEYS.webhooks, entry.entry_id)
    assert (await tick(client, "p2")).lost == (entry.entry_id,)


async def test_a_replay_is_a_new_series_that_verifies(client):
    """A replay keeps the event id, starts at attempt 1 and reads the lead before it sends."""
    item = webhook("L1")
    await accept(client, item)
    [entry] = await read(client, "p1")
    [entered] = await enter(client, "p1", [entry])
    outcome = LeadDeadLettered(**common(entry, entered), code="x", error="x")
    await finish(client, "p1", Finishing(entry, entered.lease, outcome))
    call = replaying.replay(
        KEYS, item.event, item.dedup_key, dedup_ttl_s=60, steps_ttl_s=60, instance="cli", reason="test"
    )
    await run(client, call)
    [again] = await read(client, "p1")
    assert again.event.event_id == item.event.event_id
    [second] = await enter(client, "p1", [again])
    assert (second.attempt, second.verify) == (1, True)
    assert second.lease.fence > entered.lease.fence


async def test_times_are_iso_by_redis_time(client):
    """Scripts stamp outcomes with a readable UTC time that agrees with Redis TIME."""
    await accept(client, webhook("L1"))
    [entry] = await read(client, "p1")
    await enter(client, "p1", [entry])
    seconds, _ = await client.time()
    [(_, fields)] = await client.xrange(KEYS.outcomes)
    assert abs(decode(text_fields(fields)).at.timestamp() - seconds) < 5
