"""The engine on real servers, with the sandbox as the world outside."""

from datetime import UTC, datetime

import pytest
from support_engine import KEYS, projecting

from ops.append import Appender
from ops.dead import DeadLetters, Filter
from ops.postgres import create_pool
from ops.recover import Recovery, ensure_groups
from processor.store import LeadStore
from schema.calls import Appending
from schema.events import WebhookAccepted
from schema.identity import CREATE, dedup_key, event_id_of, forced_version, marker
from schema.keys import GROUP


async def test_a_lead_gets_one_message_with_its_marker(world):
    """The main path: people and profiles are looked up, one message is on the lead, nothing is left."""
    event_id = await world.accept("lead-1")
    async with world.engine():
        [end] = await world.ends(1)
    assert (end.type, end.result, end.message_ref) == ("lead_processed", "sent", marker(event_id))
    state = await world.state()
    [message] = state["messages"]["lead-1"]
    assert message["body"].splitlines()[-1] == marker(event_id)
    assert state["calls"].get("c2s.get_lead", 0) == 0
    assert state["calls"]["c2s.create_message"] == 1
    assert (await world.redis.xpending(KEYS.webhooks, GROUP))["pending"] == 0
    left = [k async for k in world.redis.scan_iter("c2s:{0}:lead:*")]
    assert left == []


async def test_a_webhook_without_customer_costs_one_get(world):
    """The seed's three fields: the lead is fetched once, and once only."""
    await world.accept("lead-2", shape="seed")
    async with world.engine():
        [end] = await world.ends(1)
    assert end.result == "sent"
    assert (await world.state())["calls"]["c2s.get_lead"] == 1


async def test_nobody_found_is_a_success_without_message(world):
    """No CPF: `no_match`, nothing is sent."""
    await world.accept("nomatch-1")
    async with world.engine():
        [end] = await world.ends(1)
    assert end.result == "no_match"
    assert (await world.state())["messages"].get("nomatch-1", []) == []


async def test_a_closed_lead_is_recorded_only(world):
    """on_close_lead spends no call and sends nothing."""
    await world.accept("lead-3", action="on_close_lead")
    async with world.engine():
        [end] = await world.ends(1)
    assert end.result == "recorded"
    assert (await world.state())["messages"].get("lead-3", []) == []


async def test_a_retry_resumes_after_the_finished_steps(world):
    """A failing Work API costs retries, but the look-ups by phone and e-mail are made once."""
    await world.fault(target="work.cpf", kind="error", status=500, times=2)
    await world.accept("lead-4")
    async with world.engine():
        [end] = await world.ends(1)
    assert (end.result, end.attempt) == ("sent", 3)
    calls = (await world.state())["calls"]
    assert (calls["diretrix.phone"], calls["diretrix.email"]) == (1, 1)
    assert calls.get("c2s.get_lead", 0) == 0


async def test_attempts_end_in_a_dead_letter(world):
    """After MAX_ATTEMPTS the event is given up, with its reason, and the lead's next event goes on."""
    await world.fault(target="work.cpf", kind="error", status=500, times=3)
    await world.accept("lead-5")
    async with world.engine():
        [end] = await world.ends(1)
        assert (end.type, end.attempt, end.api) == ("lead_dead_lettered", 3, "work")
        await world.accept("lead-5", action="on_close_lead")
        assert [e.type for e in await world.ends(2)] == ["lead_dead_lettered", "lead_processed"]
    assert await world.redis.xlen(KEYS.dead) == 1


@pytest.mark.parametrize("kind", ["lost_reply", "reset", "error", "timeout"])
async def test_an_ambiguous_send_is_verified_before_it_is_repeated(world, kind):
    """Whether or not the POST had its effect, the lead ends with exactly one message."""
    await world.fault(target="c2s.create_message", kind=kind, status=500, times=1)
    await world.accept("lead-6")
    async with world.engine():
        [end] = await world.ends(1)
    assert end.result == "sent"
    state = await world.state()
    assert len(state["messages"]["lead-6"]) == 1
    assert state["calls"]["c2s.get_lead"] == 1


async def test_throttling_spends_no_attempt(world):
    """A 429 makes the lead wait, not fail."""
    await world.fault(target="c2s.create_message", kind="429", retry_after=1, times=1)
    await world.accept("lead-7")
    async with world.engine():
        [end] = await world.ends(1)
    assert (end.result, end.attempt) == ("sent", 1)
    assert (await world.state())["calls"].get("c2s.get_lead", 0) == 0


async def test_a_missing_lead_is_a_dead_letter_at_once(world):
    """A lead that C2S does not know is not retried."""
    await world.accept("missing-1", shape="seed")
    async with world.engine():
        [end] = await world.ends(1)
    assert (end.type, end.code, end.attempt) == ("lead_dead_lettered", "lead_gone", 1)


async def test_two_engines_share_the_leads(world):
    """Forty leads over two instances: each is processed once, by one, with one message."""
    ids = [f"many-{n}" for n in range(40)]
    # On a busy machine a connection takes longer than the quarter of a second that other tests allow it.
    async with world.engine("p1", http_timeout_secs=30.0), world.engine("p2", http_timeout_secs=30.0):
        for lead in ids:
            await world.accept(lead)
        ends = await world.ends(40)
    assert {e.result for e in ends} == {"sent"}
    assert {len(m) for m in (await world.state())["messages"].values()} == {1}
    started = [e for e in await world.outcomes() if e.type == "processing_started"]
    assert len(started) == 40
    assert len({e.fence for e in started}) == 40


async def test_the_leads_of_a_dead_instance_are_taken_over(world):
    """What an instance read and entered before it vanished is finished by another after the lease."""
    times = {"lease_ttl_secs": 1.0, "heartbeat_secs": 0.2, "reclaim_idle_secs": 1.1}
    await world.accept("lead-8")
    settings = world.settings.model_copy(update={"instance": "gone", **times})
    store = LeadStore(KEYS, world.redis, world.redis, settings)
    await store.ensure_group()
    entries = await store.read(10, 0.1)
    assert [e.state for e in await store.enter(entries, wake=True)] == ["run"]
    async with world.engine("p2", **times):
        [end] = await world.ends(1)
    assert (end.instance, end.attempt) == ("p2", 2)
    assert len((await world.state())["messages"]["lead-8"]) == 1


async def test_a_vanished_group_is_recreated(world):
    """With stream and group deleted under the readers, new webhooks are still processed."""
    async with world.engine():
        await world.accept("lead-9")
        await world.ends(1)
        await world.redis.delete(KEYS.webhooks)
        await world.accept("lead-10")
        assert {e.lead_id for e in await world.ends(2)} == {"lead-9", "lead-10"}


async def test_a_wiped_redis_is_recovered_from_postgres(world):
    """Finished leads stay finished, unfinished ones resume, nobody is messaged twice."""
    pool = await create_pool(world.settings, min_size=0, max_size=2, application_name="test")
    async with projecting(world) as catch_up:
        done = [await world.accept(f"wiped-done-{n}") for n in range(5)]
        async with world.engine():
            await world.ends(5)
        sent_unseen = await world.accept("wiped-sent")
        await world.fault(target="c2s.create_message", kind="lost_reply", times=1)
        async with world.engine(backoff_base_secs=60, backoff_max_secs=60):
            while not (await world.state())["messages"].get("wiped-sent"):
                await world.redis.xread({KEYS.outcomes: "$"}, block=50)
        waiting = [await world.accept(f"wiped-wait-{n}") for n in range(5)]
        await catch_up()
        await world.redis.flushall()
        await ensure_groups(world.redis, 1, 60)
        recovered = await Recovery(world.redis, pool, world.settings).run()
        assert (recovered.events, recovered.dedup_keys) == (6, 5)
        async with world.engine():
            ends = await world.ends(6)
        assert {e.event_id for e in ends} == {sent_unseen, *waiting}
        again = await world.accept("wiped-done-0")
        assert again == done[0]
        assert await world.redis.xlen(KEYS.webhooks) == 6
        assert {len(texts) for texts in (await world.state())["messages"].values()} == {1}
    await pool.close()


async def test_an_event_that_ended_unseen_by_the_record_is_not_recovered(world):
    """Its entry may be trimmed before its outcome is projected: its work is done all the same."""
    pool = await create_pool(world.settings, min_size=0, max_size=2, application_name="test")
    async with projecting(world) as catch_up:
        await world.accept("unseen-1")
        await catch_up()
        async with world.engine():
            await world.ends(1)
        await world.redis.xtrim(KEYS.webhooks, maxlen=0, approximate=False)
        recovered = await Recovery(world.redis, pool, world.settings).run()
        assert recovered.events == 0
    await pool.close()


@pytest.mark.parametrize("lead", ["final-1", "nomatch-final-1"])
async def test_an_event_that_postgres_holds_as_final_is_not_worked_on_again(world, lead):
    """Its dedup key is lost in Redis and its webhook comes again: no call at all, no second message."""
    async with projecting(world) as catch_up, world.engine():
        event_id = await world.accept(lead)
        await world.ends(1)
        await catch_up()
        before = await world.state()
        await world.redis.delete(*[key async for key in world.redis.scan_iter("c2s:{0}:dedup:*")])
        assert await world.accept(lead) == event_id
        [_, again] = await world.ends(2)
    assert (again.type, again.reason) == ("event_ignored", "already_final")
    after = await world.state()
    assert (after["messages"], after["calls"]) == (before["messages"], before["calls"])


async def test_an_attempt_on_record_is_verified_though_redis_forgot_its_steps(world):
    """Its send intent is lost with its steps: the record knows of the attempt, so the lead is read first."""
    await world.fault(target="c2s.create_message", kind="lost_reply", times=1)
    event_id = await world.accept("forgotten-1")
    async with projecting(world) as catch_up:
        async with world.engine(backoff_base_secs=60, backoff_max_secs=60):
            while not any(e.type == "attempt_failed" for e in await world.outcomes()):
                await world.redis.xread({KEYS.outcomes: "$"}, block=20)
        await catch_up()
        assert await world.redis.delete(KEYS.steps(event_id), KEYS.retries) == 2
        async with world.engine(lease_ttl_secs=1.0, heartbeat_secs=0.2, reclaim_idle_secs=1.1):
            [end] = await world.ends(1)
    assert (end.result, end.attempt) == ("sent", 1)
    state = await world.state()
    assert len(state["messages"]["forgotten-1"]) == 1
    assert (state["calls"]["c2s.create_message"], state["calls"]["c2s.get_lead"]) == (1, 1)


async def test_an_update_of_a_messaged_lead_sends_nothing(world):
    """Our own message updates the lead at C2S: the update that follows must not send another."""
    async with projecting(world) as catch_up:
        await world.accept("echo-1")
        async with world.engine():
            await world.ends(1)
            await catch_up()
            await world.accept("echo-1", action="on_update_lead")
            ends = await world.ends(2)
    assert [e.result for e in ends] == ["sent", "unchanged"]
    assert len((await world.state())["messages"]["echo-1"]) == 1


async def test_a_trigger_messages_a_messaged_lead_only_by_force(world):
    """A lead whose update was messaged is left alone by the old trigger, unless that was told to force it."""

    async def trigger(version: str) -> str:
        key = dedup_key("asked-1", CREATE, version)
        event = WebhookAccepted(
            event_id=event_id_of(key), lead_id="asked-1", action=CREATE, version=version, source="trigger",
            received_at=datetime.now(UTC), payload='{"lead_id": "asked-1"}',
        )  # fmt: skip
        door = Appender(world.redis, partitions=1, dedup_ttl_s=600, instance="door")
        return (await door.append(Appending(event, key))).event_id

    async with projecting(world) as catch_up, world.engine():
        ids = [await world.accept("asked-1", action="on_update_lead")]
        for version in ("sha256-1", forced_version(datetime.now(UTC))):
            await world.ends(len(ids))
            await catch_up()
            ids.append(await trigger(version))
        ends = await world.ends(3)
    assert [e.result for e in ends] == ["sent", "unchanged", "sent"]
    texts = [m["body"] for m in (await world.state())["messages"]["asked-1"]]
    assert [t.splitlines()[-1] for t in texts] == [marker(ids[0]), marker(ids[2])]


async def test_a_pending_entry_deleted_by_hand_is_restored(world):
    """The archive puts its event back to work under its own id."""
    times = {"lease_ttl_secs": 1.0, "heartbeat_secs": 0.2, "reclaim_idle_secs": 1.1}
    async with projecting(world) as catch_up:
        event_id = await world.accept("trimmed-1")
        settings = world.settings.model_copy(update={"instance": "gone", **times})
        store = LeadStore(KEYS, world.redis, world.redis, settings)
        await store.ensure_group()
        [entry] = await store.read(10, 0.1)
        await catch_up()
        await world.redis.xdel(KEYS.webhooks, entry.entry_id)
        async with world.engine(**times):
            [end] = await world.ends(1)
    assert (end.event_id, end.result) == (event_id, "sent")
    assert len((await world.state())["messages"]["trimmed-1"]) == 1


async def test_a_replayed_dead_letter_is_sent_once_under_its_own_id(world):
    """An operator's replay brings the same event to its end, reading the lead before it sends."""
    await world.fault(target="work.cpf", kind="error", status=500, times=3)
    event_id = await world.accept("lead-11")
    letters = DeadLetters(world.redis, world.settings)
    async with world.engine():
        [end] = await world.ends(1)
        assert end.type == "lead_dead_lettered"
        [letter] = [found async for found in letters.found(Filter(lead_id="lead-11"))]
        assert (letter.event.event_id, letter.attempts, letter.api) == (event_id, 3, "work")
        await letters.replay(letter, "mended")
        ends = await world.ends(2)
    assert (ends[1].event_id, ends[1].result, ends[1].attempt) == (event_id, "sent", 1)
    assert [found async for found in letters.found(Filter())] == []
    state = await world.state()
    assert len(state["messages"]["lead-11"]) == 1
    assert state["calls"]["c2s.get_lead"] == 1
    assert (state["calls"]["diretrix.phone"], state["calls"]["diretrix.email"]) == (1, 1)
