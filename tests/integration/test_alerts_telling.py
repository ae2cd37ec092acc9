"""Telling: a receiver's fault delays the telling and nothing else; the projector's watch; the command."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support_alerts import KEYS, System, system
from support_forks import run_c2s
from support_waiting import until

from ops.alerts.check import check, heartbeat
from ops.alerts.rules import RULES
from ops.migrate import migrate
from projections.service import serve

DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"


@pytest.fixture(scope="module")
async def migrated(database_url: str) -> str:
    await migrate(database_url)
    return database_url


@pytest.fixture
async def world(redis_url: str, migrated: str) -> AsyncIterator[System]:
    async with system(redis_url, migrated) as made:
        yield made


async def dead_letter(world: System) -> None:
    await world.accept("L1")
    await world.give_up(api="diretrix")
    await world.project()


async def due_now(world: System) -> None:
    """As if the pause before the next try were over."""
    await world.db.execute("UPDATE alert_deliveries SET next_try_at = NOW()")


@pytest.mark.parametrize("fault", ["refuses", "nobody there"])
async def test_a_failing_receiver_is_told_later_and_holds_up_nobody(world, fault):
    """The others are told at once, the check does not fail, and Slack gets it once it takes it."""
    world.told.status = 500
    broken = {"ALERT_SLACK_URL": "http://127.0.0.1:1/x"} if fault == "nobody there" else {}
    await dead_letter(world)
    await world.check(**broken)
    assert world.told.told("dead_letters") == {"slack": [], "email": ["opened"], "pagerduty": ["opened"]}
    row = await world.db.fetchrow("SELECT tries, last_error FROM alert_deliveries WHERE channel = 'slack'")
    expected = "HTTP 500" if fault == "refuses" else "ClientConnectorError"
    assert (row["tries"], row["last_error"]) == (1, expected)
    world.told.status = 200
    await world.check()
    assert world.told.told("dead_letters")["slack"] == []  # not before its pause is over
    await due_now(world)
    await world.check()
    assert world.told.told("dead_letters")["slack"] == ["opened"]


async def test_a_resolution_is_not_told_before_its_opening(world):
    """Both wait for the receiver, and come in order."""
    world.told.status = 500
    await dead_letter(world)
    await world.check()
    await world.client.delete(KEYS.dead)
    await world.check()
    world.told.status = 200
    await due_now(world)
    await world.check()
    assert world.told.told("dead_letters")["slack"] == ["opened", "resolved"]


async def test_two_checks_at_once_tell_once(world):
    """A cron's check beside the projector's: one of them opens, one tells."""
    await dead_letter(world)
    await asyncio.gather(*(world.check() for _ in range(4)))
    assert world.told.told("dead_letters") == {c: ["opened"] for c in ("slack", "email", "pagerduty")}


@asynccontextmanager
async def projecting(world: System, **more: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(serve(world.settings(INSTANCE="b1", **more), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def test_the_active_projector_watches(world):
    """Nobody calls anything: the alert is told, and what checked is on record."""
    await dead_letter(world)

    async def told() -> bool:
        return world.told.told("dead_letters")["pagerduty"] == ["opened"]

    async with projecting(world, ALERT_EVERY="0.05"):
        await until(told)
    assert await world.db.fetchval("SELECT name FROM alert_checks") == "projector"


async def test_a_receiver_that_never_answers_does_not_hold_up_projecting(world):
    """While Slack hangs, webhooks go on into the record."""
    world.told.hang.clear()
    await dead_letter(world)

    async def slack_hangs() -> bool:
        return bool(world.told.slack)

    async def recorded() -> bool:
        return await world.db.fetchval("SELECT count(*) FROM webhook_events") == 2

    async with projecting(world, ALERT_EVERY="0.05"):
        await until(slack_hangs)
        await world.accept("L2")
        await until(recorded)
    world.told.hang.set()


async def test_a_check_that_breaks_does_not_end_projecting(world):
    """Without its tables the watch complains, and rows are written all the same."""
    await world.db.execute("ALTER TABLE alerts RENAME TO alerts_away")

    async def complained() -> bool:
        return "alerts.unchecked" in {line["event"] for line in logs}

    async def recorded() -> bool:
        return await world.db.fetchval("SELECT count(*) FROM webhook_events") == 1

    try:
        with capture_logs() as logs:
            async with projecting(world, ALERT_EVERY="0.05"):
                await until(complained)
                await world.accept("L1")
                await until(recorded)
    finally:
        await world.db.execute("ALTER TABLE alerts_away RENAME TO alerts")


async def test_the_heart_beats_only_while_the_synthetic_check_passes(world):
    """A processor is alive and nothing is behind: a ping. None alive, or the door not ready: none."""
    base = world.told.environ["ALERT_SLACK_URL"].removesuffix("/slack")
    settings = world.settings(HEARTBEAT_URL=f"{base}/beat", HEARTBEAT_CHECK_URL=f"{base}/ready")
    checked = await check(settings, "cli")
    assert checked.faults == ("processor: none has been heard of",)
    assert not await heartbeat(settings, checked)
    await world.accept("L1")
    await world.succeed()  # as consumer p1, which is alive thereby
    await world.project()
    checked = await check(settings, "cli")
    assert (checked.faults, await heartbeat(settings, checked), world.told.beats) == ((), True, 1)
    world.told.ready = 503
    assert not await heartbeat(settings, checked)
    await world.accept("L2")
    lagging = await check(settings.model_copy(update={"alert_lag": 0.001}), "cli")
    assert lagging.faults == ("projector: the record is behind",)
    assert world.told.beats == 1


async def test_the_command(world, tmp_path):
    """0 if all is well, 1 with an alert, 2 for wrong settings; `--look` stores nothing; `list` remembers."""

    async def c2s(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = world.environ | world.told.environ | more
        return await asyncio.to_thread(run_c2s, "alerts", *words, env=env, cwd=tmp_path)

    well = await c2s("check")
    assert (well.returncode, "nothing is wrong" in well.stdout) == (0, True), well.stderr
    await dead_letter(world)
    assert (await c2s("check", "--look")).returncode == 1
    assert world.told.slack == []
    ill = await c2s("check", "--json")
    found = json.loads(ill.stdout)
    assert (ill.returncode, found["opened"]) == (1, ["dead_letters"])
    assert found["firing"][0]["summary"] == "1 dead letter(s): events that were given up"
    assert world.told.told("dead_letters")["slack"] == ["opened"]
    assert (await c2s("list")).returncode == 1
    await world.client.delete(KEYS.dead)
    assert (await c2s("check")).returncode == 0
    listed = await c2s("list", "--json")
    assert (listed.returncode, json.loads(listed.stdout)[0]["rule"]) == (0, "dead_letters")
    wrong = await c2s("check", SMTP_URL="")
    assert (wrong.returncode, "ALERT_EMAIL_TO" in wrong.stderr) == (2, True)


def test_every_alert_is_explained():
    """docs/alerts.md has a row for each rule, and none for a rule that is not."""
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(RULES)
