"""The scripts of the budget: turns, pauses and circuit breakers, over fakeredis and a real Redis."""

from collections.abc import AsyncIterator
from typing import Any

import fakeredis.aioredis
import pytest

from ops.redis import Client, command_client, run
from schema import budget
from schema.budget import BreakerPolicy, Pace, Priority, Turn, Turned, pace
from schema.keys import BudgetKeys
from schema.outside import Op, call

API = "c2s"
# One call, and then none for as long as a test lasts; callers of the next ten minutes count as up now.
HOURLY = Pace(3_600_000.0, 600.0)
QUICK = Pace(0.05, 0.01)
POLICY = BreakerPolicy(rate=0.5, failures=3, open_s=600, open_max_s=1000)


@pytest.fixture(params=["fakeredis", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    if request.param == "fakeredis":
        made = fakeredis.aioredis.FakeRedis(version=(6, 2))
    else:
        made = command_client(request.getfixturevalue("redis_url"))
    yield made
    await made.aclose()


async def told(client: Client, op: Op) -> Any:
    [reply] = await run(client, call([op]))
    return reply


async def ask(client: Client, ticket: str, priority: Priority = Priority.NEW, spacing: Pace = HOURLY) -> Turn:
    return budget.read_ask(await told(client, budget.ask(API, ticket, priority, spacing, probe_life_s=60)))


async def fail(client: Client, ticket: str = "any") -> Turned:
    return budget.read_note(await told(client, budget.failed(API, ticket, POLICY)))


async def free_now(client: Client) -> None:
    """As if the time until the next call had passed, for everyone who waits.

    All are due in a minute: up by this pace, and in time however long the test takes to ask for them.
    """
    keys = BudgetKeys(API)
    await client.hset(keys.budget, "free", "0")
    seconds, _ = await client.time()
    for ticket in await client.hgetall(keys.seen):
        await client.hset(keys.seen, ticket, str((seconds + 60) * 1000))


async def served(client: Client, tickets: dict[str, Priority], count: int) -> list[str]:
    """Who gets the next turns, where all who wait are up and ask in the order of arrival."""
    waiting, order = dict(tickets), []
    for ticket, priority in waiting.items():
        await ask(client, ticket, priority)
    while len(order) < count:
        await free_now(client)
        before = len(order)
        for ticket, priority in list(waiting.items()):
            if (await ask(client, ticket, priority)).state == "go":
                order.append(ticket)
                del waiting[ticket]
                break
        assert len(order) > before, f"nobody got a turn after {order}"
    return order


async def test_the_first_call_goes_and_the_next_waits_its_turn(client):
    """A free row lets one call pass at once; the second is told the interval, the third twice of it."""
    assert (await ask(client, "a")).state == "go"
    waits = [(await ask(client, ticket)).wait_s / HOURLY.interval_s for ticket in ("b", "c")]
    assert waits == pytest.approx([1, 2], rel=0.01)


async def test_priority_goes_before_arrival(client):
    """New leads, updates, the trigger, replays, reconcile: in this order, whoever came first."""
    await ask(client, "taken")
    tickets = {priority.name: priority for priority in reversed(Priority)}
    assert await served(client, tickets, len(tickets)) == [p.name for p in Priority]


async def test_the_longest_waiting_gets_every_tenth_turn(client):
    """However many new leads come, a waiting reconcile call goes after nine of them."""
    await ask(client, "taken")
    tickets = {"reconcile": Priority.RECONCILE} | {f"new-{n}": Priority.NEW for n in range(20)}
    order = await served(client, tickets, 12)
    assert order.index("reconcile") == 9
    assert [t for t in order if t != "reconcile"] == [f"new-{n}" for n in range(11)]


async def test_one_who_does_not_come_back_is_passed_over(client):
    """A crashed first waiter costs others nothing once its grace is over."""
    await ask(client, "taken")
    for ticket in ("crashed", "next"):
        await ask(client, ticket)
    keys = BudgetKeys(API)
    await free_now(client)
    await client.hset(keys.seen, "crashed", "1")
    assert (await ask(client, "next")).state == "go"
    assert await client.zcard(keys.row) == 0


async def test_sleepers_do_not_hold_up_a_free_turn(client):
    """Where those ahead sleep on, a turn that is free now goes to whoever asks."""
    await ask(client, "taken")
    await ask(client, "asleep")
    await client.hset(BudgetKeys(API).budget, "free", "0")
    assert (await ask(client, "late", Priority.REPLAY)).state == "go"


async def test_a_cancelled_caller_leaves_the_row(client):
    """Who leaves is no longer counted by those behind."""
    await ask(client, "taken")
    await ask(client, "gone")
    await told(client, budget.leave(API, "gone"))
    assert (await ask(client, "b")).wait_s == pytest.approx(HOURLY.interval_s, rel=0.01)


@pytest.mark.parametrize("spacing", [QUICK, Pace()])
async def test_a_pause_holds_everyone_back(client, spacing):
    """After a 429 nobody goes before its time, with or without a limit of our own."""
    await told(client, budget.pause(API, 500))
    turn = await ask(client, "a", spacing=spacing)
    assert (turn.state, round(turn.wait_s)) == ("wait", 500)


async def test_a_shorter_pause_does_not_shorten_a_longer_one(client):
    """Two 429 at once: the longer wait counts."""
    await told(client, budget.pause(API, 500))
    await told(client, budget.pause(API, 1))
    assert (await ask(client, "a")).wait_s == pytest.approx(500, abs=1)


async def test_no_limit_lets_all_pass(client):
    """A rate of 0 spaces nothing and keeps nobody waiting."""
    assert {(await ask(client, str(n), spacing=Pace())).state for n in range(50)} == {"go"}


async def test_the_breaker_opens_at_its_rate_and_not_before(client):
    """Three failures of four calls open it; two do not, nor do three of ten."""
    for n in range(10):
        await ask(client, str(n), spacing=Pace())
    assert [await fail(client) for _ in range(4)] == [Turned(now=False, open_s=0)] * 4
    assert await fail(client) == Turned(now=True, open_s=600)
    turn = await ask(client, "next", spacing=Pace())
    assert (turn.state, round(turn.wait_s)) == ("open", 600)


async def opened(client: Client) -> None:
    for _ in range(3):
        await fail(client)
    await client.hset(BudgetKeys(API).budget, "open", "1")  # as if its time had passed


@pytest.mark.parametrize("spacing", [HOURLY, Pace()])
async def test_one_probe_at_a_time(client, spacing):
    """Half-open: the first caller is the probe, the others are told to wait for it."""
    await opened(client)
    turn = await ask(client, "probe", spacing=spacing)
    assert (turn.state, turn.probe) == ("go", True)
    assert (await ask(client, "other", spacing=spacing)).state == "open"


async def test_a_good_probe_closes(client):
    """After it the row goes on and the failures are forgotten."""
    await opened(client)
    await ask(client, "probe", spacing=Pace())
    assert budget.read_note(await told(client, budget.mended(API, "probe"))).now
    turn = await ask(client, "next", spacing=Pace())
    assert (turn.state, turn.probe) == ("go", False)
    assert await fail(client) == Turned(now=False, open_s=0)


async def test_a_bad_probe_doubles_the_wait_up_to_a_bound(client):
    """600 s, 1200 s cut to 1000 s; failures of other calls meanwhile change nothing."""
    await opened(client)
    await ask(client, "probe", spacing=Pace())
    other = await fail(client, "late")
    assert (other.now, other.open_s > 0) == (False, True)
    assert await fail(client, "probe") == Turned(now=True, open_s=1000)


async def test_only_the_probe_closes(client):
    """The good end of a call from before the breaker opened proves nothing."""
    await opened(client)
    assert not budget.read_note(await told(client, budget.mended(API, "old"))).now
    assert (await ask(client, "probe", spacing=Pace())).probe


async def test_a_probe_that_vanished_is_replaced(client):
    """Its holder crashed: when its life is over, another caller becomes the probe."""
    await opened(client)
    await ask(client, "crashed", spacing=Pace())
    await client.hset(BudgetKeys(API).budget, "probe_until", "1")
    assert (await ask(client, "second", spacing=Pace())).probe


@pytest.mark.parametrize(
    ("limit", "period_s"), [(60, 60.0), (10, 60.0), (600, 60.0), (5, 1.0), (100, 3600.0)]
)
def test_a_pace_never_exceeds_the_limit_in_any_period(limit, period_s):
    """Even with every lateness used up and half the slack lost on the way, and it stays near the limit."""
    spacing = pace(limit, period_s)
    slack_s = spacing.late_s * 4
    most = (period_s + spacing.late_s + slack_s / 2) / spacing.interval_s + 1
    assert int(most) <= limit
    if period_s >= 60:
        assert period_s / spacing.interval_s >= 0.95 * limit
