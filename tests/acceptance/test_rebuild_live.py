"""`c2s rebuild` on a system at work: 50 webhooks a second through the real door, processors and projector."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from support_forks import run_c2s
from support_waiting import until

from chaos.facts import unsettled
from chaos.system import System, running
from ops.sandbox.webhooks import signature, webhook_body

RATE = 50  # webhooks a second
BEFORE, AFTER = 100, 50  # webhooks on record before the swap begins, and sent after it at least


class Sender:
    """Webhooks at a steady rate until told to stop: new leads, updates, and each tenth webhook twice."""

    def __init__(self, system: System) -> None:
        self.accepted: list[str] = []
        self.leads: set[str] = set()
        self.repeats = 0
        self._system = system

    async def send(self, enough: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        begun, number = clock(), 0
        while not enough.is_set():
            await asyncio.sleep(max(0.0, begun + number / RATE - clock()))
            action = "on_update_lead" if number % 5 == 4 else "on_create_lead"
            lead = f"live-{number - 4 if action == 'on_update_lead' else number}"
            body = webhook_body(lead, action, "data", datetime.now(UTC))
            self.leads.add(lead)
            self.accepted.append(await self._post(body, "accepted"))
            if number % 10 == 0:
                await self._post(body, "duplicate")
                self.repeats += 1
            number += 1

    async def _post(self, body: bytes, status: str) -> str:
        ready = self._system.ready
        headers = {"X-C2S-Signature": signature(body, ready["webhook_secret"])}
        async with self._system.http.post(ready["webhook_url"], data=body, headers=headers) as answer:
            told = await answer.json()
            assert (answer.status, told["status"]) == (200, status)
            event_id: str = told["event_id"]
            return event_id


async def rebuild(env: dict[str, str], *words: str) -> dict[str, Any]:
    """`c2s rebuild` from another shell."""
    done = await asyncio.to_thread(run_c2s, "rebuild", "--json", *words, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def test_a_rebuild_amid_fifty_webhooks_a_second(tmp_path: Path) -> None:
    """Check and swap find no difference while they arrive; afterwards each webhook has its one right row."""
    async with running(tmp_path / "up", processors=2) as system:
        ready = system.ready
        env = {"REDIS_URL": ready["redis_url"], "DATABASE_URL": ready["database_url"]}
        db = await asyncpg.connect(ready["database_url"])
        sender, enough = Sender(system), asyncio.Event()
        rows = "SELECT count(*) FROM webhook_events"
        async with asyncio.TaskGroup() as tasks:  # a sender that fails ends the test
            tasks.create_task(sender.send(enough))
            await until(lambda: db.fetchval(rows), lambda n: n >= BEFORE, 120)
            checked = await rebuild(env, "--check")
            sent_before = len(sender.accepted)
            swapped = await rebuild(env)
            sent_amid = len(sender.accepted) - sent_before
            wanted = len(sender.accepted) + AFTER
            await until(lambda: db.fetchval(rows), lambda n: n >= wanted, 120)
            enough.set()
        accepted = set(sender.accepted)
        await until(
            lambda: unsettled(ready["database_url"], ready["redis_url"], accepted), lambda rest: not rest, 180
        )
        afterwards = await rebuild(env, "--check")
        found = await db.fetch("SELECT id::text, status FROM webhook_events")
        duplicates = await db.fetchval("SELECT count(*) FROM webhook_duplicates")
        archived = await db.fetchval("SELECT count(*) FROM event_log WHERE stream = 'webhooks'")
        await db.close()
        messages = (await system.sandbox())["messages"]
    assert (checked["differences"], swapped["differences"], afterwards["differences"]) == (0, 0, 0)
    assert swapped["swapped"]
    assert sent_amid > 0
    assert len(sender.accepted) == len(accepted) == archived
    assert {row["id"] for row in found} == accepted
    assert {row["status"] for row in found} == {"success"}
    assert duplicates == sender.repeats
    assert {lead: len(messages[lead]) for lead in sender.leads} == dict.fromkeys(sender.leads, 1)
