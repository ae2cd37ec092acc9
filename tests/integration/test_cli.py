"""The CLI on real servers: lists, stories, statistics, migrations and the doctor."""

import asyncio
import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from support_forks import run_c2s

from ops.dev.redis_server import EmbeddedRedis
from ops.migrate import migrate
from ops.redis import Client, blocking_client, command_client, run
from projections.projector import Projector, read_models
from schema import calls, holding
from schema.calls import Appending, Entry, Finishing
from schema.codec import PlainCodec
from schema.events import AttemptFailed, LeadProcessed, WebhookAccepted, decode, text_fields
from schema.holding import Note
from schema.identity import CREATE, dedup_key, event_id_of, marker
from schema.keys import GROUP, Keys

C2S = Path(sys.executable).with_name("c2s")
KEYS = Keys(0)


@dataclass
class System:
    """A migrated database, an empty Redis, and hands to make things happen in them."""

    redis_url: str
    database_url: str
    client: Client

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return kept | {"REDIS_URL": self.redis_url, "DATABASE_URL": self.database_url, "TZ": "UTC"} | extra

    async def c2s(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run_c2s, *arguments, env=self.environment(**extra))

    async def json(self, *arguments: str) -> object:
        done = await self.c2s(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def accept(self, lead_id: str) -> str:
        """Append a create webhook; its event id."""
        key = dedup_key(lead_id, CREATE, "v1")
        event = WebhookAccepted(
            event_id=event_id_of(key), lead_id=lead_id, action=CREATE, version="v1", source="webhook",
            received_at=datetime.now(UTC), payload=json.dumps({"lead_id": lead_id}),
        )  # fmt: skip
        call = calls.append(KEYS, [Appending(event, key)], dedup_ttl_s=60, instance="door")
        calls.read_append(await run(self.client, call))
        return event.event_id

    async def attempt(self, *, fails: bool = False) -> None:
        """Read the next entry (or the one whose retry is due) and end an attempt of it."""
        reply = await self.client.xreadgroup(GROUP, "p1", {KEYS.webhooks: ">"}, count=1)
        rows = reply[0][1] if reply else await self.client.xrange(KEYS.webhooks)
        entry = Entry(rows[-1][0].decode(), decode(text_fields(rows[-1][1])))
        entering = calls.enter(KEYS, [entry], instance="p1", lease_ttl_s=30, steps_ttl_s=60, wake=False)
        (entered,) = calls.read_enter(await run(self.client, entering), KEYS, [entry], "p1")
        assert entered.lease is not None
        e = entry.event
        common = {
            "event_id": e.event_id, "lead_id": e.lead_id, "action": e.action, "received_at": e.received_at,
            "attempt": entered.attempt, "fence": entered.lease.fence, "instance": "p1",
        }  # fmt: skip
        if fails:
            note = holding.record(KEYS, [Note(entered.lease, e.event_id, {"people": "[]"})], steps_ttl_s=60)
            await run(self.client, note)
            failed = AttemptFailed(
                **common, step="send", code="c2s_timeout", api="c2s", error="C2S did not answer in time"
            )
            item = Finishing(entry, entered.lease, failed, delay_s=0.0)
        else:
            text = f"Telefone e e-mail: mesma pessoa.\n{marker(e.event_id)}"
            timings = '{"people":120,"send":40}'
            sent = LeadProcessed(
                **common, result="sent", message=text, timings=timings, calls='{"diretrix":2,"c2s":1}'
            )
            item = Finishing(entry, entered.lease, sent)
        finishing = calls.finish(KEYS, [item], instance="p1", steps_ttl_s=60, take_next=False)
        (finished,) = calls.read_finish(await run(self.client, finishing))
        assert finished.held

    async def project(self) -> None:
        """Bring the record up to date, once."""
        connection = await asyncpg.connect(self.database_url)
        reader = blocking_client(self.redis_url, block_s=1)
        try:
            models = read_models(PlainCodec())
            await Projector(connection, reader, partitions=1, batch=100, models=models).poll_once(0)
        finally:
            await reader.aclose()
            await connection.close()


@pytest.fixture
async def system(redis_url: str, database_url: str) -> AsyncIterator[System]:
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    tables = "webhook_events, webhook_duplicates, event_log, projection_checkpoints, attempts, lead_state"
    await connection.execute(f"TRUNCATE {tables}")
    await connection.close()
    client = command_client(redis_url)
    await client.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    yield System(redis_url, database_url, client)
    await client.aclose()


async def test_list_filters_the_record(system: System) -> None:
    """Newest first; by lead, status, action, age and number; an empty answer is no error."""
    for lead in ("L-1", "L-2"):
        await system.accept(lead)
        await system.attempt()
    await system.accept("L-3")
    await system.project()

    async def leads(*arguments: str) -> list[str]:
        return [row["lead_id"] for row in await system.json("events", "list", *arguments)]  # type: ignore[attr-defined]

    assert await leads() == ["L-3", "L-2", "L-1"]
    assert await leads("--limit", "1") == ["L-3"]
    assert await leads("--lead", "L-2") == ["L-2"]
    assert await leads("--status", "success") == ["L-2", "L-1"]
    assert await leads("--action", "close") == []
    assert await leads("--since", "1h", "--status", "received") == ["L-3"]
    table = await system.c2s("events", "list")
    assert table.returncode == 0
    assert [line.split()[2] for line in table.stdout.splitlines()[1:]] == ["L-3", "L-2", "L-1"]


async def test_a_story_is_told_in_order_recorded_or_not(system: System) -> None:
    """Receipt, failed attempt, retry, end, with error and steps; the unrecorded part is marked."""
    event_id = await system.accept("L-1")
    await system.attempt(fails=True)
    await system.project()
    half = (await system.c2s("events", "show", "L-1")).stdout
    assert "attempt 1 failed at step send (c2s_timeout)" in half
    assert "C2S did not answer in time" in half
    assert "finished steps so far: people" in half
    await system.attempt()
    told = await system.c2s("events", "show", event_id)
    assert told.returncode == 0
    in_order = (
        "webhook accepted ",
        "attempt 1 begins",
        "attempt 1 failed",
        "attempt 2 begins",
        "lead processed *",
        "steps: people 120 ms, send 40 ms; calls: 2 x diretrix, 1 x c2s",
        "in Redis only",
        "message on the lead: (--reveal shows it)",
    )
    places = [told.stdout.index(words) for words in in_order]
    assert places == sorted(places)
    story = await system.json("events", "show", event_id)
    (event,) = story["events"]  # type: ignore[index]
    assert [fact["recorded"] for fact in event["facts"]] == [True, True, True, False, False]
    assert not any("payload" in fact for fact in event["facts"])
    assert "mesma pessoa" not in told.stdout + json.dumps(story)


async def test_messages_and_bodies_are_shown_only_once_it_is_noted_who_looks(system: System) -> None:
    """They are personal data: hidden unless revealed, and never revealed where it can not be noted."""
    event_id = await system.accept("L-1")
    await system.attempt()
    told = (await system.c2s("events", "show", "L-1", "--reveal", "--reason", "r1")).stdout
    assert "mesma pessoa" in told
    assert marker(event_id) in told
    unsaid = await system.c2s("events", "show", "L-1", "--reveal")
    assert (unsaid.returncode, unsaid.stdout) == (2, "")
    assert "--reason" in unsaid.stderr
    story = await system.json("events", "show", "L-1", "--reveal", "--reason", "r2")
    (event,) = story["events"]  # type: ignore[index]
    assert event["facts"][0]["payload"] == '{"lead_id": "L-1"}'
    assert "mesma pessoa" in event["message"]
    nowhere = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}
    refused = await system.c2s("events", "show", "L-1", "--reveal", "--reason", "r3", **nowhere)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: Postgres is not available while noting an operator's action")
    connection = await asyncpg.connect(system.database_url)
    notes = await connection.fetch(
        "SELECT actor, via, action, target, reason, affected FROM operator_actions"
    )
    await connection.close()
    me = f"{getpass.getuser()}@{socket.gethostname()}"
    assert [tuple(note) for note in notes] == [
        (me, "cli", "payload_revealed", event_id, "r1", 1),
        (me, "cli", "payload_revealed", event_id, "r2", 1),
    ]


async def test_a_story_survives_the_loss_of_either_store(system: System) -> None:
    """With Postgres away Redis tells it, with Redis away the record does; each says what is missing."""
    await system.accept("L-1")
    await system.attempt()
    await system.project()
    nowhere = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}
    without_record = await system.c2s("events", "show", "L-1", **nowhere)
    assert "lead processed *" in without_record.stdout
    assert "note: the record is away" in without_record.stdout
    without_redis = await system.c2s("events", "show", "L-1", REDIS_URL="redis://127.0.0.1:1/0")
    assert "lead processed " in without_redis.stdout
    assert "note: Redis is away" in without_redis.stdout
    neither = await system.c2s("events", "show", "L-1", REDIS_URL="redis://127.0.0.1:1/0", **nowhere)
    assert neither.returncode == 1
    assert neither.stderr.startswith("error: Redis cannot be reached")


async def test_the_unknown_is_a_problem_not_a_crash(system: System) -> None:
    """Nothing known by that name: exit code 1 and one line."""
    done = await system.c2s("events", "show", "nobody")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: no event and no lead nobody is known here"


async def test_stats_answer_the_plans_queries_and_the_daily_questions(system: System) -> None:
    """Two successes and one open event: the numbers agree; on an empty record nothing divides by zero."""
    empty = await system.json("stats")
    assert empty["by_status"] == empty["several_attempts"] == empty["waiting"] == []  # type: ignore[index]
    assert empty["success_rate"] == [{"success_rate": None}]  # type: ignore[index]
    assert (await system.c2s("stats")).returncode == 0
    for lead in ("L-1", "L-2"):
        await system.accept(lead)
        await system.attempt()
    await system.accept("L-3")
    await system.project()
    found = await system.json("stats")
    counts = {row["status"]: row["count"] for row in found["by_status"]}  # type: ignore[index]
    assert counts == {"success": 2, "received": 1}
    assert found["success_rate"] == [{"success_rate": 66.67}]  # type: ignore[index]
    assert [(row["success"], row["waiting"]) for row in found["success"]] == [(2, 1)]  # type: ignore[index]
    assert [row["lead_id"] for row in found["waiting"]] == ["L-3"]  # type: ignore[index]
    assert sum(row["events"] for row in found["status_by_hour"]) == 3  # type: ignore[index]
    shown = (await system.c2s("stats", "--since", "7d")).stdout
    assert "66.67" in shown
    assert "██" in shown
    assert (await system.c2s("stats", "--since", "soon")).returncode == 2


async def test_stats_can_be_watched(system: System) -> None:
    """Each look is a line of JSON; a new event shows in a later one; Ctrl-C is a fine end."""
    watching = await asyncio.create_subprocess_exec(
        C2S, "stats", "--watch", "--every", "0.1", "--json", env=system.environment(),
        stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    assert watching.stdout is not None
    seen = []
    async with asyncio.timeout(30):
        while not seen or seen[-1] != 1:
            seen.append(len(json.loads(await watching.stdout.readline())["waiting"]))
            if seen == [0]:
                await system.accept("L-9")
                await system.project()
        watching.send_signal(signal.SIGINT)
        assert await watching.wait() == 0
    assert seen[0] == 0


async def test_doctor_finds_a_healthy_system(system: System) -> None:
    """Exit code 0; every check is there, and the C2S token is passed over where there is none."""
    done = await system.c2s("doctor")
    assert done.returncode == 0, done.stdout
    for words in (
        "redis version",
        "append-only file is on",
        "noeviction",
        "up to date",
        "clock",
        "not checked",
    ):
        assert words in done.stdout


async def test_doctor_names_what_is_wrong(system: System, tmp_path: Path) -> None:
    """A forgetful Redis and an unreachable Postgres: both are told, with a remedy; exit code 1."""
    with EmbeddedRedis(
        tmp_path, appendonly=False, extra_args=("--maxmemory-policy", "allkeys-lru")
    ) as forgetful:
        findings = await system.c2s(
            "doctor", "--json", REDIS_URL=forgetful.url, DATABASE_URL="postgresql://postgres@127.0.0.1:1/none"
        )
    assert findings.returncode == 1
    failed = {f["check"]: f["remedy"] for f in json.loads(findings.stdout) if f["level"] == "FAIL"}
    assert failed.keys() == {"redis persistence", "redis eviction", "postgres"}
    assert all(failed.values())


async def test_doctor_sees_a_database_that_was_never_migrated(system: System) -> None:
    """Pending migrations are a failure with the command that mends it; `events list` says the same."""
    connection = await asyncpg.connect(system.database_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    sick = await system.c2s("doctor")
    assert sick.returncode == 1
    assert "run `c2s migrate`" in sick.stdout
    listed = await system.c2s("events", "list")
    assert (listed.returncode, "run `c2s migrate`" in listed.stderr) == (1, True)
    assert "applied: 001" in (await system.c2s("migrate")).stdout
    assert "nothing to do" in (await system.c2s("migrate")).stdout
    assert (await system.c2s("doctor")).returncode == 0


async def test_tail_follows_live(system: System) -> None:
    """Each line appears as it happens, without payloads; Ctrl-C ends it with code 0."""
    command: list[str | Path] = [C2S, "events", "tail", "--json", "--lead", "L-1"]
    with _start(command, system.environment()) as tail:
        watchdog = threading.Timer(60, tail.kill)
        watchdog.start()
        try:
            await _somebody_reads(system.client)
            await system.accept("L-2")
            await system.accept("L-1")
            assert tail.stdout is not None
            line = json.loads(await asyncio.to_thread(tail.stdout.readline))
            tail.send_signal(signal.SIGINT)
            code = await asyncio.to_thread(tail.wait, 30)
        finally:
            watchdog.cancel()
            tail.kill()
    assert (line["type"], line["lead_id"]) == ("webhook_accepted", "L-1")
    assert "payload" not in line
    assert code == 0


async def _somebody_reads(client: Client) -> None:
    """Wait until a client blocks in XREAD; each look at the list takes its turn on the server."""
    async with asyncio.timeout(30):
        while not any(c["cmd"] == "xread" and "b" in c["flags"] for c in await client.client_list()):
            await client.execute_command("BLPOP", "nothing-is-ever-here", "0.05")


def _start(command: list[str | Path], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
