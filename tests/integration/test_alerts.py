"""Every alert, provoked on real servers and told to real receivers: it opens once and resolves once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support_alerts import KEYS, SECRET_TEXT, System, system
from support_ingress import PREVIOUS, door_settings, lead, open_door, signed
from support_waiting import until

from ops.alerts.rules import RULES
from ops.append import Appender
from ops.dead import DeadLetters, Filter
from ops.migrate import migrate
from ops.postgres import create_pool
from ops.recover import Recovery
from ops.spool import Spool
from processor.budget import Budgets
from processor.exchange import Exchange
from schema.calls import Appending
from schema.errors import CircuitOpen
from schema.events import WebhookAccepted
from schema.identity import CREATE, dedup_key, event_id_of

Mend = Callable[[], Awaitable[dict[str, str] | None]]
CHANNELS = ("slack", "email", "pagerduty")


@pytest.fixture(scope="module")
async def migrated(database_url: str) -> str:
    await migrate(database_url)
    return database_url


@pytest.fixture
async def world(redis_url: str, migrated: str) -> AsyncIterator[System]:
    async with system(redis_url, migrated) as made:
        yield made


# -- how each trouble comes about: settings that bring it within a test's reach, and how it is mended. What a
# -- mend returns are settings with which the time of a window has passed.


@asynccontextmanager
async def retries(w: System):
    await w.accept("L1")
    for _ in range(4):
        await w.fail()
    await w.project()

    async def mend() -> dict[str, str]:
        await w.succeed()
        await w.project()
        return {"ALERT_WINDOW": "0.001"}

    yield {}, mend


@asynccontextmanager
async def c2s_failures(w: System):
    await w.accept("L1")
    await w.give_up(api="c2s", code="lead_gone", error="c2s create_message: answered 404")
    await w.project()

    async def mend() -> dict[str, str]:
        return {"ALERT_WINDOW": "0.001"}

    yield {"ALERT_DEAD_LETTERS": "9"}, mend


@asynccontextmanager
async def duplicate_rate(w: System):
    await w.accept("L1", times=26)
    await w.project()

    async def mend() -> dict[str, str]:
        return {"ALERT_WINDOW": "0.001"}

    yield {}, mend


@asynccontextmanager
async def token_refused(w: System):
    await w.accept("L1")
    await w.fail(api="c2s", code="c2s_unauthorized", error="c2s: answered 403", counted=0)
    await w.project()

    async def mend() -> None:
        await w.succeed()
        await w.project()

    yield {}, mend


@asynccontextmanager
async def dead_letters(w: System):
    await w.accept("L1")
    await w.give_up(api="diretrix")
    await w.project()

    async def mend() -> None:
        letters = DeadLetters(w.client, w.settings())
        async for letter in letters.found(Filter()):
            await letters.discard(letter)

    yield {}, mend


@asynccontextmanager
async def oldest_waiting(w: System):
    await w.accept("L1")
    await w.project()

    async def mend() -> None:
        await w.succeed()
        await w.project()

    yield {"ALERT_OLDEST": "0.001"}, mend


@asynccontextmanager
async def projector_lag(w: System):
    await w.accept("L1")
    yield {"ALERT_LAG": "0.001"}, w.project


@asynccontextmanager
async def silence(w: System):
    """Five weeks with a webhook every ten minutes around this hour; this week's last is hours ago."""
    now = datetime.now(UTC)
    moments = [now - timedelta(weeks=k, minutes=10 * n) for k in range(1, 6) for n in range(-12, 13)]
    rows = [(f"old-{n}", at) for n, at in enumerate([*moments, now - timedelta(hours=3)])]
    await w.db.executemany(
        "INSERT INTO webhook_events (lead_id, hook_action, status, source, received_at) "
        "VALUES ($1, 'on_create_lead', 'success', 'webhook', $2)",
        rows,
    )

    async def mend() -> None:
        await w.accept("L1")
        await w.project()

    yield {}, mend


@asynccontextmanager
async def breaker_open(w: System):
    """Three calls in a row that failed; then a probe that is answered."""
    budgets = Budgets(Exchange(w.client), w.settings(C2S_RATE_LIMIT="0", BREAKER_OPEN_SECS="0.001"))
    for _ in range(3):
        await budgets.failed(await budgets.acquire("c2s"))

    async def mend() -> None:
        async def let_through() -> bool:
            try:
                grant = await budgets.acquire("c2s")
            except CircuitOpen:
                return False
            await budgets.answered(grant)
            return grant.probe

        await until(let_through)

    yield {}, mend


@asynccontextmanager
async def entries_vanished(w: System):
    """Somebody deletes an entry that is in work; the archive gives it back."""
    await w.accept("L1")
    await w.fail()
    await w.project()
    [(entry_id, _)] = await w.client.xrange(KEYS.webhooks)
    await w.client.xdel(KEYS.webhooks, entry_id)
    pool = await create_pool(w.settings(), min_size=0, max_size=1, application_name="test")
    restored = await Recovery(w.client, pool, w.settings()).restore_entries(0, [entry_id.decode()])
    assert len(restored) == 1
    await pool.close()
    await w.project()

    async def mend() -> dict[str, str]:
        return {"ALERT_WINDOW": "0.001"}

    yield {}, mend


@asynccontextmanager
async def spool_in_use(w: System):
    key = dedup_key("L1", CREATE, "v1")
    event = WebhookAccepted(
        event_id=event_id_of(key), lead_id="L1", action=CREATE, version="v1", source="webhook",
        received_at=datetime.now(UTC), payload="{}",
    )  # fmt: skip
    pool = await create_pool(w.settings(), min_size=0, max_size=1, application_name="test")
    await Spool(pool).put([Appending(event, key)])

    async def mend() -> None:
        door = Appender(w.client, partitions=1, dedup_ttl_s=60, instance="door")
        assert await Spool(pool).drain(door) == 1

    yield {}, mend
    await pool.close()


@asynccontextmanager
async def previous_secret(w: System):
    async def noted() -> bool:
        return bool(await w.client.exists(KEYS.previous_secret))

    async with open_door(door_settings(w.environ["REDIS_URL"], w.environ["DATABASE_URL"])) as door:
        raw = lead("L1")
        assert (await door.post(raw, signed(raw, PREVIOUS))).status == 200
        await until(noted)
    await w.project()

    async def mend() -> dict[str, str]:
        return {"ALERT_PREVIOUS_SECRET": "0.001"}

    yield {}, mend


@asynccontextmanager
async def redis_memory(w: System):
    used = (await w.client.info("memory"))["used_memory"]
    await w.client.config_set("maxmemory", round(used * 1.1))

    async def mend() -> None:
        await w.client.config_set("maxmemory", 0)

    yield {}, mend
    await mend()


@asynccontextmanager
async def redis_disk(w: System):
    """A directory stands where the dump shall go, so that saving really fails."""
    before = (await w.client.config_get("dbfilename"))["dbfilename"]
    blocked = Path((await w.client.config_get("dir"))["dir"]) / "blocked.rdb"
    blocked.mkdir()

    async def save(name: str, expected: str) -> None:
        await w.client.config_set("dbfilename", name)
        await w.client.bgsave()

        async def saved() -> bool:
            info = await w.client.info("persistence")
            return not info["rdb_bgsave_in_progress"] and info["rdb_last_bgsave_status"] == expected

        await until(saved)

    async def mend() -> None:
        await save(before, "ok")

    await save(blocked.name, "err")
    yield {}, mend
    await mend()
    blocked.rmdir()


@asynccontextmanager
async def redis_away(w: System):
    async def mend() -> dict[str, str]:
        return {"REDIS_URL": w.environ["REDIS_URL"]}

    yield {"REDIS_URL": "redis://127.0.0.1:1/0"}, mend


PROVOKED = (
    retries, c2s_failures, duplicate_rate, token_refused, dead_letters, oldest_waiting, projector_lag,
    silence, breaker_open, entries_vanished, spool_in_use, previous_secret, redis_memory, redis_disk,
    redis_away,
)  # fmt: skip


def test_each_rule_is_provoked_here():
    """A new rule needs a test like these."""
    assert {provoke.__name__ for provoke in PROVOKED} == RULES


@pytest.mark.parametrize("provoke", PROVOKED, ids=lambda p: p.__name__)
async def test_it_opens_once_and_resolves_once(world, provoke):
    """Nothing at first; opened and told on every channel by one check of two; likewise resolved."""
    rule = provoke.__name__
    assert rule not in {f.rule for f in (await world.check()).firing}
    async with provoke(world) as (settings, mend):
        first = await world.check(**settings)
        assert rule in {f.rule for f in first.firing}
        assert [c.transition for c in first.changes if c.alert.rule == rule] == ["opened"]
        again = await world.check(**settings)
        assert rule in {f.rule for f in again.firing}
        assert [c for c in again.changes if c.alert.rule == rule] == []
        assert world.told.told(rule) == {name: ["opened"] for name in CHANNELS}
        passed = await mend() or {}
        done = await world.check(**settings | passed)
        assert [c.transition for c in done.changes if c.alert.rule == rule] == ["resolved"]
        assert (await world.check(**settings | passed)).changes == ()
    assert world.told.told(rule) == {name: ["opened", "resolved"] for name in CHANNELS}
    row = await world.db.fetchrow("SELECT opened_at, resolved_at FROM alerts WHERE rule = $1", rule)
    assert row["opened_at"] < row["resolved_at"]
    everything = [*world.told.slack, *map(str, world.told.pagerduty), *map(str, world.told.mails)]
    assert not any(SECRET_TEXT in text or "L1" in text for text in everything)


async def test_a_second_time_is_a_new_alert(world):
    """Resolved and back again: opened anew, under a key of its own at PagerDuty."""
    for _ in range(2):
        async with breaker_open(world) as (_, mend):
            await world.check()
            await mend()
            await world.check()
    assert world.told.told("breaker_open")["slack"] == ["opened", "resolved"] * 2
    keys = [e["dedup_key"] for e in world.told.pagerduty]
    assert keys[0] == keys[1] != keys[2] == keys[3]


async def test_what_cannot_be_judged_stays_as_it_is(world):
    """With Redis away an open alert about dead letters neither resolves nor opens again."""
    async with dead_letters(world):
        await world.check()
        away = await world.check(REDIS_URL="redis://127.0.0.1:1/0")
        assert away.unjudged
        back = await world.check()
    assert [c.alert.rule for c in back.changes] == ["redis_away"]
    assert world.told.told("dead_letters")["slack"] == ["opened"]


async def test_silence_says_nothing_without_history(world):
    """Two weeks of webhooks are no habit yet; without any webhook there is nothing to miss."""
    assert (await world.check()).firing == ()
    now = datetime.now(UTC)
    for at in (now - timedelta(weeks=1), now - timedelta(weeks=2), now - timedelta(hours=30)):
        await world.db.execute(
            "INSERT INTO webhook_events (lead_id, hook_action, status, source, received_at) "
            "VALUES ('x', 'on_create_lead', 'success', 'webhook', $1)",
            at,
        )
    assert (await world.check()).firing == ()
