"""What was paid for outside is not paid for twice, whatever happens to the attempt that asked."""

import asyncio

import pytest
from support_engine import KEYS

from processor.budget import Budgets
from processor.exchange import Exchange
from processor.send import INTENT
from processor.store import LeadStore
from schema.budget import Priority
from schema.errors import CircuitOpen
from schema.keys import CACHED, BudgetKeys

LOOK_UPS = ("diretrix.phone", "diretrix.email", "work.cpf")


@pytest.mark.parametrize("shape", ["data", "seed"])
@pytest.mark.parametrize("kept_s", [86_400, 60, 0])
async def test_a_crash_before_the_send_repeats_no_look_up(world, monkeypatch, kept_s, shape):
    """An attempt stops short of its intent: the next finds the answers, kept for the fleet or recorded.

    It asks C2S once, for the message that may be there, whether or not the webhook carried the customer.
    """
    reached, never = asyncio.Event(), asyncio.Event()
    record = LeadStore.record

    async def dying(self, lease, event_id, steps, **how):
        if INTENT in steps and not reached.is_set():
            reached.set()
            await never.wait()
        await record(self, lease, event_id, steps, **how)

    monkeypatch.setattr(LeadStore, "record", dying)
    times = {"lease_ttl_secs": 1.0, "reclaim_idle_secs": 1.1, "shutdown_deadline_secs": 5.0}
    times |= {"profile_cache_secs": kept_s, "c2s_rate_limit": "600/minute"}
    await world.accept("spent-1", shape=shape)
    async with world.engine("stops", heartbeat_secs=600.0, **times):
        await asyncio.wait_for(reached.wait(), 30)
        before = (await world.state())["calls"]
        assert bool([k async for k in world.redis.scan_iter(CACHED)]) == bool(kept_s)
        [end] = await world.ends(1)
    state = await world.state()
    assert (end.result, end.attempt) == ("sent", 2)
    assert [state["calls"].get(call, 0) for call in LOOK_UPS] == [before.get(call, 0) for call in LOOK_UPS]
    assert state["calls"]["c2s.get_lead"] == before.get("c2s.get_lead", 0) + 1
    assert len(state["messages"]["spent-1"]) == 1


async def test_an_attempt_that_fails_leaves_its_steps(world):
    """A retry may come when nothing is kept any more, and a replay even later."""
    await world.fault(target="work.cpf", kind="error", status=500, times=3)
    event_id = await world.accept("spent-2")
    async with world.engine():
        [end] = await world.ends(1)
    assert (end.type, end.step) == ("lead_dead_lettered", "profiles")
    assert await world.redis.hexists(KEYS.steps(event_id), "people")


async def asked_of(exchange: Exchange, call) -> int:
    """How many script calls something takes."""
    count, flush = 0, exchange._batcher._flush

    async def counted(asked):
        nonlocal count
        count += 1
        return await flush(asked)

    exchange._batcher._flush = counted
    try:
        await call()
    finally:
        exchange._batcher._flush = flush
    return count


async def test_calls_without_a_limit_are_counted_and_cost_nothing(world):
    """The first asks; those of the next second pass, and are told of with whatever is asked next."""
    exchange = Exchange(world.redis)
    budgets = Budgets(exchange, world.settings)
    assert await asked_of(exchange, lambda: budgets.acquire("c2s", Priority.NEW)) == 1

    async def five() -> None:
        for _ in range(5):
            budgets._known_until["c2s"] = float("inf")  # however slow this machine is
            await budgets.acquire("c2s", Priority.NEW)

    assert await asked_of(exchange, five) == 0
    budgets._known_until.clear()
    await budgets.acquire("c2s", Priority.NEW)
    assert await world.redis.hget(BudgetKeys("c2s").budget, "calls") == b"7"


async def test_what_opens_a_breaker_is_known_at_once_where_it_happened(world):
    """No further call passes unasked, here or (after a second) anywhere."""
    exchange = Exchange(world.redis)
    settings = world.settings.model_copy(update={"breaker_open_secs": 600.0, "breaker_open_max_secs": 600.0})
    budgets, other = Budgets(exchange, settings), Budgets(Exchange(world.redis), settings)
    for _ in range(settings.breaker_failures):
        await budgets.failed(await budgets.acquire("c2s"))
    for asking in (budgets, other):
        with pytest.raises(CircuitOpen):
            await asking.acquire("c2s")
