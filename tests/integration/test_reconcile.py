"""Reconcile against the sandbox: webhooks that were dropped on purpose are found, none is repeated."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from support_forks import run_c2s
from support_ingress import SECRET, door_settings, entries, open_door
from support_waiting import until

from ops.dev.traffic import Ways, order, samples
from ops.migrate import migrate
from ops.redis import blocking_client, command_client
from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig
from ops.settings import Settings, load_settings
from processor.reconcile.runs import ReconcileBusy, exclusive, when_due
from processor.reconcile.service import on_schedule, reconcile_since
from projections.projector import Projector, read_models
from schema.codec import PlainCodec
from schema.errors import Unauthorized
from schema.identity import CREATE, dedup_key, event_id_of
from schema.keys import BudgetKeys


@dataclass
class World:
    """A C2S with leads, our Redis and Postgres, and a door."""

    environ: dict[str, str]
    db: asyncpg.Connection
    sandbox: TestServer
    http: aiohttp.ClientSession

    def settings(self, **more: str) -> Settings:
        return load_settings("cli", self.environ | more)

    async def leads(self, **order: object) -> list[dict]:
        """Make leads; what became of their webhooks."""
        async with self.http.post(self.sandbox.make_url("/_sandbox/leads"), json=order) as answer:
            assert answer.status == 201, await answer.text()
            return (await answer.json())["deliveries"]

    async def change(self, lead_id: str, **order: object) -> None:
        async with self.http.post(self.sandbox.make_url(f"/_sandbox/leads/{lead_id}"), json=order) as answer:
            assert answer.status == 200, await answer.text()

    async def fault(self, **order: object) -> None:
        async with self.http.post(self.sandbox.make_url("/_sandbox/faults"), json=order) as answer:
            assert answer.status == 200, await answer.text()

    async def list_calls(self) -> int:
        async with self.http.get(self.sandbox.make_url("/_sandbox/state")) as answer:
            return (await answer.json())["calls"]["c2s.list_leads"]

    def stream(self) -> list[dict[str, str]]:
        return entries(self.environ["REDIS_URL"])

    async def project(self) -> None:
        reader = blocking_client(self.environ["REDIS_URL"], block_s=1)
        models = read_models(PlainCodec())
        projector = Projector(self.db, reader, partitions=1, batch=500, models=models)
        while await projector.poll_once(0):
            pass
        await reader.aclose()

    @asynccontextmanager
    async def door(self) -> AsyncIterator[str]:
        settings = door_settings(self.environ["REDIS_URL"], self.environ["DATABASE_URL"])
        async with open_door(settings) as door:
            yield f"http://127.0.0.1:{door.port}/api/v1/webhook/leads"

    def process(self, *words: str, **more: str) -> subprocess.Popen[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        command = [sys.executable, "-m", "processor.reconcile", *words]
        return subprocess.Popen(command, env=kept | self.environ | more, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
async def migrated(database_url: str) -> str:
    await migrate(database_url)
    return database_url


@pytest.fixture
async def world(redis_url: str, migrated: str) -> AsyncIterator[World]:
    config = SandboxConfig("t", "u", "p", "k", webhook_secret=SECRET)
    async with TestServer(create_app(config)) as sandbox, aiohttp.ClientSession() as http:
        environ = {
            "REDIS_URL": redis_url,
            "DATABASE_URL": migrated,
            "C2S_BASE_URL": str(sandbox.make_url("")).rstrip("/"),
            "C2S_TOKEN": "t",
            "C2S_RATE_LIMIT": "0",
        }
        db = await asyncpg.connect(migrated)
        await db.execute("TRUNCATE reconcile_runs, webhook_events, event_log, projection_checkpoints")
        yield World(environ, db, sandbox, http)
        await db.close()


def a_day_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=24)


@pytest.mark.parametrize("projected", [True, False])
async def test_every_dropped_webhook_is_found_and_none_is_repeated(world, projected):
    """30 % of 120 webhooks get lost; one run appends exactly those, a second one nothing."""
    async with world.door() as url:
        told = await world.leads(count=120, deliver=True, drop=0.3, url=url)
    lost = {row["lead_id"] for row in told if row.get("dropped")}
    assert len(lost) == 36
    if projected:
        await world.project()
    [run] = await reconcile_since(world.settings(), a_day_ago())
    assert (run.leads, run.found, run.missing, run.appended) == (120, 84, 36, 36)
    stream = world.stream()
    assert {e["lead_id"] for e in stream if e["source"] == "reconcile"} == lost
    assert Counter(e["lead_id"] for e in stream) == Counter(row["lead_id"] for row in told)
    assert all(e["event_id"] == event_id_of(dedup_key(e["lead_id"], CREATE, "")) for e in stream)
    [again] = await reconcile_since(world.settings(), a_day_ago())
    assert (again.found, again.missing, again.appended) == (120, 0, 0)
    assert len(world.stream()) == 120


async def test_nothing_of_the_sample_traffic_is_missing(world):
    """C2S knows the leads of `c2s up` as their webhooks told them: creations in every shape, and updates."""
    first = list(itertools.islice(samples("r"), 12))
    async with world.door() as url, aiohttp.ClientSession() as http:
        ways = Ways(str(world.sandbox.make_url("")).rstrip("/"), url)
        delivered = [await order(http, ways, sample) for sample in first]
    assert [row["status"] for row in delivered] == [200] * 12
    await world.project()
    [run] = await reconcile_since(world.settings(), a_day_ago(), appends=False)
    assert (run.leads, run.missing) == (len({sample.lead_id for sample in first}), 0)


async def test_a_webhook_that_comes_late_is_a_duplicate(world):
    """Reconcile was first: the webhook finds its own event id, and there is no second entry."""
    await world.leads(leads=[{"id": "late"}])
    await reconcile_since(world.settings(), a_day_ago())
    async with world.door() as url:
        [told] = await world.leads(leads=[{"id": "late"}], deliver=True, url=url)
    [entry] = world.stream()
    answer = json.loads(told["answer"])
    assert (answer["status"], answer["event_id"]) == ("duplicate", entry["event_id"])


async def test_missed_updates_and_closes_are_found(world):
    """A lead on record that changed or was archived since gets that event, with the state at C2S."""
    async with world.door() as url:
        await world.leads(leads=[{"id": "changed"}, {"id": "closed"}], deliver=True, url=url)
    await world.project()
    await world.change("changed", attributes={"customer": {"phone": "(11) 98765-4321"}})
    await world.change("closed", action="on_close_lead")
    [run] = await reconcile_since(world.settings(), a_day_ago())
    assert run.appended == 2
    found = {(e["lead_id"], e["action"]): e for e in world.stream() if e["source"] == "reconcile"}
    assert set(found) == {("changed", "on_update_lead"), ("closed", "on_close_lead")}
    payload = json.loads(found["changed", "on_update_lead"]["payload"])
    assert payload["data"]["attributes"]["customer"]["phone_global"] == "+5511987654321"


async def test_killed_between_two_pages_it_goes_on_where_it_was(world):
    """SIGKILL after the first page: the next run asks for the second one first, and all is appended once."""
    await world.leads(count=120)

    async def first_page_done() -> bool:
        return await world.db.fetchval("SELECT next_page FROM reconcile_runs") == 2

    since = a_day_ago().isoformat()
    slow = {"C2S_RATE_LIMIT": "1/minute", "RECONCILE_SHARE": "1"}
    with world.process("--since", since, **slow) as killed:
        await until(first_page_done)  # the next page is a minute away
        killed.kill()
    assert (len(world.stream()), await world.list_calls()) == (50, 1)
    # The minute is over: for reconcile's own distance and for the fleet's row.
    await world.db.execute("UPDATE reconcile_runs SET last_call_at = NULL")
    client = command_client(world.environ["REDIS_URL"])
    await client.delete(*BudgetKeys("c2s").all)
    await client.aclose()
    resumed, rest = await reconcile_since(world.settings(), a_day_ago())
    assert (resumed.leads, resumed.appended, resumed.next_page) == (120, 120, 4)
    assert rest.missing == 0
    assert Counter(e["lead_id"] for e in world.stream()).most_common(1)[0][1] == 1
    assert len(world.stream()) == 120


async def test_killed_after_an_append_nothing_is_repeated(world, tmp_path):
    """A crash between the append and the note of it: the page is looked at again and found complete."""
    await world.leads(count=10)
    crash = tmp_path / "crash"
    crash.write_text("append.after")
    with world.process("--since", a_day_ago().isoformat(), CRASH_FILE=str(crash)) as process:
        assert await asyncio.to_thread(process.wait, 30) == -9
    assert len(world.stream()) == 10
    [run] = await reconcile_since(world.settings(), a_day_ago())
    assert (run.found, run.appended, len(world.stream())) == (10, 0, 10)


async def test_it_never_passes_its_share_of_the_budget(world):
    """At 60 calls a minute and a share of a fifth, its calls are five seconds apart, across runs too."""
    settings = world.settings(C2S_RATE_LIMIT="60/minute")
    assert settings.reconcile_share == 0.2
    interval_s = 5.0
    async with exclusive(settings) as runs:
        first = await runs.open(a_day_ago(), appends=True)
        waits = [await runs.reserve(first, interval_s) for _ in range(3)]
        await runs.end(first)
        second = await runs.open(a_day_ago(), appends=True)
        waits.append(await runs.reserve(second, interval_s))
        reserved = await world.db.fetchval("SELECT max(last_call_at) - min(started_at) FROM reconcile_runs")
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert timedelta(seconds=15) <= reserved < timedelta(seconds=20)


async def test_its_calls_really_keep_that_distance(world):
    """Three pages at 20 calls a second and a share of a fifth: two distances of a quarter of a second."""
    await world.leads(count=120)
    began = time.monotonic()
    [run] = await reconcile_since(world.settings(C2S_RATE_LIMIT="20/second"), a_day_ago())
    assert time.monotonic() - began >= 0.5
    assert (run.appended, await world.list_calls()) == (120, 3)


async def test_a_throttled_page_is_asked_for_again(world):
    """A 429 is waited out, and nothing is lost by it."""
    await world.leads(count=3)
    await world.fault(target="c2s.list_leads", kind="429", times=1, retry_after=1)
    [run] = await reconcile_since(world.settings(), a_day_ago())
    assert run.appended == 3


async def test_a_refused_token_ends_it_and_keeps_its_progress(world):
    """401 and 403 are the operator's business: no retry, and the run can be resumed."""
    await world.leads(count=3)
    with pytest.raises(Unauthorized):
        await reconcile_since(world.settings(C2S_TOKEN="revoked"), a_day_ago())
    [run] = await reconcile_since(world.settings(), a_day_ago())
    assert run.appended == 3
    assert await world.db.fetchval("SELECT count(*) FROM reconcile_runs") == 1


async def test_one_at_a_time(world):
    """While one instance reconciles, another one is told so and asks C2S nothing."""
    async with exclusive(world.settings()):
        with pytest.raises(ReconcileBusy):
            await reconcile_since(world.settings(), a_day_ago())
    assert await world.list_calls() == 0


async def test_on_schedule_it_runs_when_due_and_only_then(world):
    """The first run is due at once; the next one a whole interval later, for every instance."""
    await world.leads(count=2)
    settings = world.settings(RECONCILE_EVERY="1h")

    async def ran() -> bool:
        return await world.db.fetchval("SELECT state FROM reconcile_runs") == "done"

    async with on_schedule(settings), on_schedule(settings):
        await until(ran)
    due = await when_due(settings, settings.reconcile_every)
    assert 3500 < due.wait_s <= 3600
    assert len(world.stream()) == 2
    assert await world.db.fetchval("SELECT count(*) FROM reconcile_runs") == 1


async def test_off_by_default(world):
    """Without RECONCILE_EVERY nothing is asked: before C2S sends here, every lead would look missing."""
    async with on_schedule(world.settings()):
        pass
    assert (await world.list_calls(), world.settings().reconcile_every) == (0, 0)


async def test_the_command_reports_and_has_exit_codes(world, tmp_path):
    """`--check` finds and appends nothing (1), a run appends (0), `--check` is then content (0)."""
    await world.leads(count=4)

    async def c2s(*words: str, **more: str) -> tuple[int, str, str]:
        env = world.environ | more
        done = await asyncio.to_thread(run_c2s, "reconcile", *words, env=env, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    code, out, _ = await c2s("--check", "--json")
    assert (code, json.loads(out)["missing"], json.loads(out)["appended"]) == (1, 4, 0)
    assert world.stream() == []
    code, out, err = await c2s("--since", "2h")
    assert (code, out) == (0, "4 leads at C2S: 0 with nothing missing, 4 events missing, 4 appended\n")
    assert "page 1: 4 leads compared" in err
    assert (await c2s("--check"))[0] == 0
    assert (await c2s("--since", "yesterday"))[0] == 2
    code, _, err = await c2s(C2S_TOKEN="")
    assert (code, "C2S_TOKEN" in err) == (2, True)
