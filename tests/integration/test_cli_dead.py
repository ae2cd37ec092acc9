"""`c2s dead` on a real Redis: list, show, replay and discard, one letter or by filter."""

import asyncio
import getpass
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest
from support_forks import run_c2s
from support_operator import actions, forget, record

from ops.migrate import migrate
from ops.redis import Client, command_client, run
from ops.telling import HIDDEN
from schema import calls
from schema.calls import Appending, Entry, Finishing
from schema.events import LeadDeadLettered, WebhookAccepted, decode, text_fields
from schema.identity import CREATE, dedup_key, event_id_of
from schema.keys import GROUP, Keys

KEYS = Keys(0)
NOWHERE = "postgresql://postgres@127.0.0.1:1/none"


@dataclass
class Office:
    """A Redis with dead letters, and the operator's command."""

    redis_url: str
    client: Client

    async def dead(self, *arguments: str, answer: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        env = {"REDIS_URL": self.redis_url, "DATABASE_URL": NOWHERE, "TZ": "UTC"} | more
        return await asyncio.to_thread(run_c2s, "dead", *arguments, env=env, says=answer)

    async def listed(self, *arguments: str) -> list[dict]:
        done = await self.dead("list", *arguments, "--json")
        letters = json.loads(done.stdout)
        assert done.returncode == (1 if letters else 0), done.stderr
        return letters

    async def give_up(self, lead_id: str, code: str) -> str:
        """A webhook that is given up at its first attempt; its event id."""
        key = dedup_key(lead_id, CREATE, "v1")
        event = WebhookAccepted(
            event_id=event_id_of(key), lead_id=lead_id, action=CREATE, version="v1", source="webhook",
            received_at=datetime.now(UTC), payload=json.dumps({"lead_id": lead_id, "name": "A"}),
        )  # fmt: skip
        await run(self.client, calls.append(KEYS, [Appending(event, key)], dedup_ttl_s=60, instance="door"))
        entry = await self.next_entry()
        (entered,) = await self.enter(entry)
        assert entered.lease is not None
        outcome = LeadDeadLettered(
            event_id=event.event_id, lead_id=lead_id, action=CREATE, received_at=event.received_at,
            attempt=entered.attempt, fence=entered.lease.fence, instance="p1", step="lead", code=code,
            api="c2s", error="C2S does not know it",
        )  # fmt: skip
        item = Finishing(entry, entered.lease, outcome)
        await run(self.client, calls.finish(KEYS, [item], instance="p1", steps_ttl_s=60, take_next=False))
        return event.event_id

    async def next_entry(self) -> Entry:
        reply = await self.client.xreadgroup(GROUP, "p1", {KEYS.webhooks: ">"}, count=1)
        [(entry_id, fields)] = reply[0][1]
        return Entry(entry_id.decode(), decode(text_fields(fields)))

    async def enter(self, entry: Entry) -> list[calls.Entered]:
        call = calls.enter(KEYS, [entry], instance="p1", lease_ttl_s=30, steps_ttl_s=60, wake=False)
        return calls.read_enter(await run(self.client, call), KEYS, [entry], "p1")


@pytest.fixture
async def office(redis_url: str) -> AsyncIterator[Office]:
    client = command_client(redis_url)
    await client.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    yield Office(redis_url, client)
    await client.aclose()


@pytest.fixture
async def noted_in(database_url: str) -> str:
    """A record with nothing on it."""
    await migrate(database_url)
    await forget(database_url)
    return database_url


async def test_nothing_given_up_is_no_problem(office):
    """An empty list: exit code 0; acting on nothing: exit code 1."""
    assert await office.listed() == []
    assert (await office.dead("replay", "--yes")).returncode == 1
    assert (await office.dead("discard", "--since", "1h", "--yes")).returncode == 1
    assert (await office.dead("show", "8fe3a3a2-0000-5000-8000-000000000000")).returncode == 1


async def test_letters_are_listed_by_filter_and_shown_whole(office):
    """By lead, code and age; the list has no payload, `show` a masked one; exit code 1: there are some."""
    gone = await office.give_up("L-1", "lead_gone")
    await office.give_up("L-2", "c2s_timeout")
    assert [letter["lead_id"] for letter in await office.listed()] == ["L-1", "L-2"]
    assert [letter["event_id"] for letter in await office.listed("--code", "lead_gone")] == [gone]
    assert [letter["lead_id"] for letter in await office.listed("--lead", "L-2")] == ["L-2"]
    assert len(await office.listed("--since", "1h")) == 2
    assert await office.listed("--since", "2999-01-01") == []
    assert "payload" not in (await office.listed())[0]
    shown = json.loads((await office.dead("show", gone)).stdout)
    assert (shown[0]["payload"], shown[0]["attempts"]) == ({"lead_id": "L-1", "name": HIDDEN}, 1)
    assert (await office.dead("list", "--lead", "no lead")).returncode == 2


async def test_a_letters_webhook_is_revealed_once_it_is_noted_who_looks(office, noted_in):
    """By `--reveal`, with the reason; where it can not be noted, nothing is shown."""
    gone = await office.give_up("L-1", "lead_gone")
    words = ("show", gone, "--reveal", "--reason", "r1")
    shown = json.loads((await office.dead(*words, DATABASE_URL=noted_in)).stdout)
    assert shown[0]["payload"] == '{"lead_id": "L-1", "name": "A"}'
    refused = await office.dead(*words)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Postgres is not available while noting an operator's action" in refused.stderr
    assert await actions(noted_in) == [("cli", "payload_revealed", gone, "r1", 1)]


async def test_a_replay_is_asked_for_and_starts_a_new_series_under_the_same_id(office):
    """At *no* nothing happens; at *yes* the event is back: same id, attempt 1, the lead read first."""
    event_id = await office.give_up("L-1", "lead_gone")
    await office.give_up("L-2", "lead_gone")
    refused = await office.dead("replay", event_id, answer="n\n")
    assert "replay 1 dead letter" in refused.stdout
    assert refused.returncode == 1
    assert len(await office.listed()) == 2
    done = await office.dead("replay", event_id, "--reason", "mended", answer="y\n")
    assert done.returncode == 0, done.stderr
    assert f"replay: event {event_id} of lead L-1" in done.stdout
    assert [letter["lead_id"] for letter in await office.listed()] == ["L-2"]
    entry = await office.next_entry()
    assert (entry.event.event_id, entry.event.source) == (event_id, "replay")
    (entered,) = await office.enter(entry)
    assert (entered.state, entered.attempt, entered.verify) == ("run", 1, True)
    told = [decode(text_fields(f)) for _, f in await office.client.xrange(KEYS.outcomes)]
    assert [e.reason for e in told if e.type == "event_replayed"] == ["mended"]


async def test_replay_by_filter_takes_what_the_filter_takes(office):
    """`--code` and `--since` together, without a question by `--yes`."""
    for lead in ("L-1", "L-2"):
        await office.give_up(lead, "lead_gone")
    await office.give_up("L-3", "c2s_timeout")
    done = await office.dead("replay", "--code", "lead_gone", "--since", "1h", "--yes")
    assert (done.returncode, done.stdout.count("replay: event")) == (0, 2)
    assert [letter["lead_id"] for letter in await office.listed()] == ["L-3"]
    assert [(await office.next_entry()).event.lead_id for _ in range(2)] == ["L-1", "L-2"]


async def test_discarded_letters_are_gone_for_good(office, noted_in):
    """One by its id, the rest by filter; nothing goes back to work; it is noted, or it is not done."""
    event_id = await office.give_up("L-1", "lead_gone")
    await office.give_up("L-2", "lead_gone")
    before = await office.client.xlen(KEYS.webhooks)
    refused = await office.dead("discard", event_id, "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nothing was discarded, since it cannot be noted" in refused.stderr
    assert len(await office.listed()) == 2
    there = {"DATABASE_URL": noted_in}
    assert (await office.dead("discard", event_id, "--reason", "r1", "--yes", **there)).returncode == 0
    assert [letter["lead_id"] for letter in await office.listed()] == ["L-2"]
    assert (await office.dead("discard", "--lead", "L-2", "--yes", **there)).returncode == 0
    assert await office.listed() == []
    assert await office.client.xlen(KEYS.webhooks) == before
    assert await actions(noted_in) == [
        ("cli", "dead_discarded", f"event {event_id}", "r1", 1),
        ("cli", "dead_discarded", "lead L-2", "discarded by an operator", 1),
    ]


async def test_a_replay_is_noted_before_it_is_done(office, noted_in):
    """Who, which letters, why, how many; the event itself then carries no name."""
    for lead in ("L-1", "L-2"):
        await office.give_up(lead, "lead_gone")
    words = ("replay", "--code", "lead_gone", "--reason", "mended", "--yes")
    done = await office.dead(*words, DATABASE_URL=noted_in)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    noted = [("cli", "dead_replayed", "code lead_gone", "mended", 2)]
    assert await actions(noted_in) == noted
    await record(office.redis_url, noted_in)
    assert await actions(noted_in) == noted


async def test_a_replay_without_postgres_is_noted_once_it_is_back(office, noted_in):
    """It goes on and says so; the note rides in the event, from where the projector writes it once."""
    event_id = await office.give_up("L-1", "lead_gone")
    done = await office.dead("replay", event_id, "--reason", "mended", "--yes")
    assert done.returncode == 0, done.stderr
    assert "warning: noted in operator_actions only once it is back: Postgres is not" in done.stderr
    noted = [("cli", "dead_replayed", f"event {event_id}", "mended", 1)]
    for _ in range(2):  # the second time as a projector that reads from an older checkpoint
        await record(office.redis_url, noted_in)
        assert await actions(noted_in) == noted
        conn = await asyncpg.connect(noted_in)
        actor = await conn.fetchval("SELECT actor FROM operator_actions")
        await conn.execute("DELETE FROM projection_checkpoints")
        await conn.close()
    assert actor == f"{getpass.getuser()}@{socket.gethostname()}"
