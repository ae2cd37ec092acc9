"""The engine under the faults of the register: what is logged, and that no lead is lost or messaged twice."""

import time
from datetime import datetime

import pytest
from structlog.testing import capture_logs
from support_engine import KEYS, World, projecting
from support_waiting import until, until_so

from ops.redis import command_client
from processor import policy, store
from processor.store import LeadStore
from schema.calls import Entry
from schema.events import AttemptFailed, ProcessingStarted
from schema.keys import GROUP

SHORT = {"lease_ttl_secs": 1.0, "heartbeat_secs": 0.2, "reclaim_idle_secs": 1.1}


def lines(logs: list, event: str) -> list:
    return [line for line in logs if line["event"] == event]


async def dying(world: World, instance: str, **changes: object) -> tuple[LeadStore, list[Entry]]:
    """An instance that reads and enters what there is, and is never heard of again."""
    settings = world.settings.model_copy(update={"instance": instance, **SHORT, **changes})
    made = LeadStore(KEYS, world.redis, world.redis, settings)
    await made.ensure_group()
    entries = await made.read(10, 0.1)
    assert {e.state for e in await made.enter(entries, wake=True)} == {"run"}
    return made, entries


async def blocked(world: World, instance: str = "p1") -> None:
    """Until the engine's reader waits for new entries."""
    await until(
        world.redis.client_list,
        lambda clients: any(c["cmd"].startswith("xreadgroup") and "b" in c["flags"] for c in clients),
    )


async def test_a_destroyed_group_goes_on_at_the_oldest_unfinished_event(world):
    """Row 25: XGROUP DESTROY under a blocked reader: finished leads are not read again, the rest goes on."""
    async with projecting(world) as catch_up, world.engine(block_secs=30):
        for n in range(3):
            await world.accept(f"group-done-{n}")
        await world.ends(3)
        await catch_up()
        await world.fault(target="work.cpf", kind="429", retry_after=2, times=1)
        await world.accept("group-waiting")
        while not any(e.type == "attempt_failed" for e in await world.outcomes()):
            await world.redis.xread({KEYS.outcomes: "$"}, block=20)
        await catch_up()
        await blocked(world)
        with capture_logs() as logs:
            await world.redis.xgroup_destroy(KEYS.webhooks, GROUP)
            await world.accept("group-new")
            ends = await world.ends(5)
    assert {e.lead_id for e in ends[3:]} == {"group-waiting", "group-new"}
    (line,) = lines(logs, "stream.recreated")
    assert line["after"] != "0"
    started = [e.lead_id for e in await world.outcomes() if e.type == "processing_started"]
    assert sorted(set(started)) == sorted({e.lead_id for e in ends})
    assert [started.count(f"group-done-{n}") for n in range(3)] == [1, 1, 1]
    assert {len(texts) for texts in (await world.state())["messages"].values()} == {1}


async def test_a_deleted_stream_comes_back_from_the_archive(world):
    """Row 25: DEL under a blocked reader: the unfinished event is put back, once, and messaged once."""
    async with projecting(world) as catch_up, world.engine(block_secs=30):
        await world.accept("stream-done")
        await world.ends(1)
        await world.fault(target="work.cpf", kind="429", retry_after=2, times=1)
        waiting = await world.accept("stream-waiting")
        while not any(e.type == "attempt_failed" for e in await world.outcomes()):
            await world.redis.xread({KEYS.outcomes: "$"}, block=20)
        await catch_up()
        await blocked(world)
        with capture_logs() as logs:
            await world.redis.delete(KEYS.webhooks)
            await world.accept("stream-new")
            ends = await world.ends(3)
    assert {e.lead_id for e in ends[1:]} == {"stream-waiting", "stream-new"}
    assert [line["restored"] for line in lines(logs, "stream.recreated")] == [1]
    assert [line["event_id"] for line in lines(logs, "event.recovered")] == [waiting]
    assert {len(texts) for texts in (await world.state())["messages"].values()} == {1}


async def test_a_group_lost_with_postgres_away_is_read_from_the_start(world):
    """Row 25 with no record at hand: everything is read again, finished leads are found messaged at C2S."""
    nowhere = type(world.settings.database_url)("postgresql://nobody@127.0.0.1:1/none")
    async with world.engine(block_secs=30):
        await world.accept("again-1")
        await world.ends(1)
    await world.redis.xgroup_destroy(KEYS.webhooks, GROUP)
    async with world.engine(block_secs=30, database_url=nowhere):
        ends = await world.ends(2)
    assert [e.lead_id for e in ends] == ["again-1", "again-1"]
    assert len((await world.state())["messages"]["again-1"]) == 1


async def test_a_finished_entry_that_is_read_again_is_verified_before_it_is_sent(world):
    """Also where the record lags behind and knows nothing of the first run yet."""
    async with world.engine(block_secs=30):
        await world.accept("again-2")
        await world.ends(1)
        await blocked(world)
        await world.redis.xgroup_destroy(KEYS.webhooks, GROUP)
        await world.ends(2)
    assert len((await world.state())["messages"]["again-2"]) == 1
    assert (await world.state())["calls"]["c2s.get_lead"] == 1


async def test_a_dead_instances_lease_expires_and_its_lead_is_taken_over(world):
    """Row 26: another finishes the lead, and says whose attempt never ended."""
    await world.accept("killed-1")
    await dying(world, "gone")
    with capture_logs() as logs:
        async with world.engine("p2", **SHORT):
            [end] = await world.ends(1)
    assert (end.instance, end.attempt) == ("p2", 2)
    assert [(line["lead_id"], line["attempt"]) for line in lines(logs, "lease.expired")] == [("killed-1", 1)]
    assert len((await world.state())["messages"]["killed-1"]) == 1


async def test_who_lost_the_lease_writes_nothing_more(world):
    """Row 27: the heartbeat finds another owner: the work ends there, without message or outcome."""
    await world.fault(target="diretrix", kind="slow", seconds=20, times=1)
    await world.accept("lost-1")
    with capture_logs() as logs:
        async with world.engine(**{**SHORT, "http_timeout_secs": 30.0}):
            while not await world.redis.exists(KEYS.lease("lost-1")):
                await world.redis.xread({KEYS.outcomes: "$"}, block=20)
            await world.redis.set(KEYS.lease("lost-1"), "other|99999999999999999", px=60_000)
            await until_so(lambda: lines(logs, "lease.lost"))
    assert [e.type for e in await world.outcomes()] == ["processing_started"]
    assert (await world.state())["messages"].get("lost-1", []) == []
    assert (await world.redis.xpending(KEYS.webhooks, GROUP))["pending"] == 1


async def test_throttling_and_doubt_are_said(world):
    """Row 29: `api.throttled` for a 429, `send.ambiguous` where the POST may have arrived; one message."""
    await world.fault(target="c2s.create_message", kind="429", retry_after=1, times=1)
    await world.accept("throttled-1")
    with capture_logs() as logs:
        async with world.engine():
            [end] = await world.ends(1)
            assert (end.result, end.attempt) == ("sent", 1)
            await world.fault(target="c2s.create_message", kind="lost_reply", times=1)
            await world.accept("doubted-1")
            await world.ends(2)
    assert {line["api"] for line in lines(logs, "api.throttled")} == {"c2s"}
    assert [line["lead_id"] for line in lines(logs, "send.ambiguous")] == ["doubted-1"]
    assert {len(texts) for texts in (await world.state())["messages"].values()} == {1}


@pytest.mark.parametrize("status", [401, 403])
async def test_a_revoked_token_waits_for_the_operator(world, monkeypatch, status):
    """Row 30: more refusals than MAX_ATTEMPTS: each is told, none spends an attempt, the lead waits."""
    monkeypatch.setattr(policy, "_OPERATOR_WAIT_S", 0.05)
    await world.fault(target="c2s.create_message", kind="error", status=status, times=5)
    await world.accept("revoked-1")
    with capture_logs() as logs:
        async with world.engine():
            [end] = await world.ends(1)
    assert (end.type, end.attempt) == ("lead_processed", 1)
    said = lines(logs, "c2s.unauthorized")
    assert len(said) == 5
    assert {line["log_level"] for line in said} == {"error"}
    failed = [e for e in await world.outcomes() if isinstance(e, AttemptFailed)]
    assert {e.counted for e in failed} == {0}
    assert await world.redis.xlen(KEYS.dead) == 0
    assert len((await world.state())["messages"]["revoked-1"]) == 1


async def test_a_lead_that_c2s_does_not_know_is_said_and_given_up(world):
    """Row 31: a dead letter at the first attempt, named `lead.gone`."""
    await world.accept("missing-2", shape="seed")
    with capture_logs() as logs:
        async with world.engine():
            [end] = await world.ends(1)
    assert (end.type, end.code, end.attempt) == ("lead_dead_lettered", "lead_gone", 1)
    assert [line["event_id"] for line in lines(logs, "lead.gone")] == [end.event_id]
    assert len(lines(logs, "lead.dead_lettered")) == 1


async def test_an_entry_that_kills_its_process_is_given_up(world):
    """Row 34: three owners in a row vanish with it; the fourth gives it up after MAX_ATTEMPTS of 3."""
    await world.accept("poison-1")
    await dying(world, "victim-1")
    for n in (2, 3):
        settings = world.settings.model_copy(update={"instance": f"victim-{n}", **SHORT})
        victim = LeadStore(KEYS, world.redis, world.redis, settings)
        claimed: list[Entry] = []
        while not claimed:  # until the last victim's lease has lapsed
            claimed = await victim.decoded((await victim.tick(10, "0-0")).entries)
            await world.redis.xread({KEYS.outcomes: "$"}, block=50)
        assert [e.state for e in await victim.enter(claimed, wake=False)] == ["run"]
    with capture_logs() as logs:
        async with world.engine("p9", **SHORT):
            [end] = await world.ends(1)
    assert (end.type, end.code) == ("lead_dead_lettered", "attempts_exhausted")
    assert len(lines(logs, "lead.dead_lettered")) == 1
    assert (await world.state())["messages"] == {}


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_machine_whose_clock_is_wrong_changes_nothing(world, monkeypatch, minutes):
    """Row 39: leases, retries and the wait before an ambiguous send is looked up follow Redis's clock."""
    settle_s = world.settings.http_timeout_secs * 1.5
    await world.fault(target="c2s.create_message", kind="lost_reply", times=1)
    await world.accept("clock-1")
    async with world.engine("right", backoff_base_secs=30, backoff_max_secs=30):
        while not any(e.type == "attempt_failed" for e in await world.outcomes()):
            await world.redis.xread({KEYS.outcomes: "$"}, block=20)
    [entry_id] = [i for i, _ in await world.redis.zrange(KEYS.retries, 0, -1, withscores=True)]
    await world.redis.zadd(KEYS.retries, {entry_id: 0})
    here = time.time
    monkeypatch.setattr(time, "time", lambda: here() + minutes * 60)
    async with world.engine("wrong"):
        [end] = await world.ends(1)
    assert end.result == "sent"
    (message,) = (await world.state())["messages"]["clock-1"]
    outcomes = await world.outcomes()
    first = next(e for e in outcomes if isinstance(e, ProcessingStarted))
    assert isinstance(first.at, datetime)
    assert (end.at - first.at).total_seconds() >= settle_s
    assert message["body"]


async def test_consumers_of_dead_instances_are_swept(world, monkeypatch):
    """Only those that were idle for long and have nothing pending; what is pending is never lost."""
    commands = command_client(world.settings.redis_url.get_secret_value())
    await world.accept("swept-1")
    await dying(world, "holds-one")
    for name in ("empty-1", "empty-2"):
        await commands.xgroup_createconsumer(KEYS.webhooks, GROUP, name)
    monkeypatch.setattr(store, "_LEFT_BEHIND_S", 0.0)
    own = LeadStore(KEYS, commands, commands, world.settings.model_copy(update={"block_secs": 0.0}))
    with capture_logs() as logs:
        await own.sweep()
    left = {c["name"] for c in await commands.xinfo_consumers(KEYS.webhooks, GROUP)}
    assert left == {b"holds-one"}
    assert [line["consumers"] for line in lines(logs, "group.swept")] == [2]
    await commands.aclose()
