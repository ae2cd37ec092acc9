"""A small system to provoke alerts in, and receivers of what is told: HTTP servers and a mail server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP

from ops.alerts.check import Checked, check
from ops.append import Appender
from ops.redis import Client, blocking_client, command_client, run
from ops.settings import Settings, load_settings
from projections.projector import Projector, read_models
from schema import calls
from schema.calls import Appending, Entry, Finishing
from schema.codec import PlainCodec
from schema.events import AttemptFailed, LeadDeadLettered, LeadProcessed, WebhookAccepted, decode, text_fields
from schema.identity import CREATE, dedup_key, event_id_of
from schema.keys import GROUP, Keys

KEYS = Keys(0)
SECRET_TEXT = "Pessoa Inventada"
TABLES = (
    "alerts, alert_deliveries, alert_checks, webhook_events, webhook_duplicates, event_log, "
    "projection_checkpoints, ingress_spool, dead_letters, attempts, lead_state"
)


@dataclass
class Receivers:
    """What was told, in order; ``status`` is what the HTTP receivers answer, ``hang`` holds them up."""

    slack: list[str] = field(default_factory=list)
    pagerduty: list[dict[str, Any]] = field(default_factory=list)
    mails: list[Any] = field(default_factory=list)
    beats: int = 0
    status: int = 200
    ready: int = 200
    hang: asyncio.Event = field(default_factory=asyncio.Event)
    environ: dict[str, str] = field(default_factory=dict)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"

    async def on_slack(self, request: web.Request) -> web.Response:
        if self.status == 200:
            self.slack.append((await request.json())["text"])
        await self.hang.wait()
        return web.Response(status=self.status)

    async def on_pagerduty(self, request: web.Request) -> web.Response:
        self.pagerduty.append(await request.json())
        return web.json_response({"status": "success"}, status=202)

    async def on_beat(self, _request: web.Request) -> web.Response:
        self.beats += 1
        return web.Response()

    async def on_ready(self, _request: web.Request) -> web.Response:
        return web.Response(status=self.ready)

    def told(self, rule: str) -> dict[str, list[str]]:
        """Transitions of a rule's alerts, by channel."""
        words = {"trigger": "opened", "resolve": "resolved"}
        subjects = [str(mail["Subject"]) for mail in self.mails]
        return {
            "slack": [_transition(text) for text in self.slack if f": {rule}: " in text],
            "email": [_transition(text) for text in subjects if f": {rule}: " in text],
            "pagerduty": [
                words[e["event_action"]]
                for e in self.pagerduty
                if e["dedup_key"].split("/")[1].partition(":")[0] == rule
            ],
        }


def _transition(text: str) -> str:
    return "resolved" if "[resolved]" in text else "opened"


@asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    """All receivers on free loopback ports."""
    told = Receivers()
    told.hang.set()
    app = web.Application()
    app.router.add_post("/slack", told.on_slack)
    app.router.add_post("/pagerduty", told.on_pagerduty)
    app.router.add_get("/beat", told.on_beat)
    app.router.add_get("/ready", told.on_ready)
    mail = await asyncio.get_running_loop().create_server(lambda: SMTP(told), "127.0.0.1", 0)
    try:
        async with TestServer(app) as server:
            told.environ = {
                "ALERT_SLACK_URL": str(server.make_url("/slack")),
                "ALERT_PAGERDUTY_URL": str(server.make_url("/pagerduty")),
                "ALERT_PAGERDUTY_KEY": "routing-key",
                "ALERT_EMAIL_TO": "plantao@example.com",
                "ALERT_EMAIL_FROM": "alertas@example.com",
                "SMTP_URL": f"smtp://127.0.0.1:{mail.sockets[0].getsockname()[1]}",
            }
            yield told
            told.hang.set()
    finally:
        mail.close()


@dataclass
class System:
    """Redis, Postgres and hands to make things happen in them."""

    environ: dict[str, str]
    client: Client
    db: asyncpg.Connection
    told: Receivers

    def settings(self, **more: str) -> Settings:
        return load_settings("cli", self.environ | self.told.environ | more)

    async def check(self, **more: str) -> Checked:
        return await check(self.settings(**more), "cli")

    async def accept(self, lead_id: str, times: int = 1) -> str:
        key = dedup_key(lead_id, CREATE, "v1")
        event = WebhookAccepted(
            event_id=event_id_of(key), lead_id=lead_id, action=CREATE, version="v1", source="webhook",
            received_at=datetime.now(UTC), payload=json.dumps({"lead_id": lead_id, "name": SECRET_TEXT}),
        )  # fmt: skip
        door = Appender(self.client, partitions=1, dedup_ttl_s=600, instance="door")
        await door.append_all([Appending(event, key)] * times)
        return event.event_id

    async def attempt(self, kind: type, **outcome: Any) -> None:
        """One attempt at the oldest entry, with this end."""
        if not await self.client.xinfo_groups(KEYS.webhooks):
            await self.client.xgroup_create(KEYS.webhooks, GROUP, "0")
        await self.client.xreadgroup(GROUP, "p1", {KEYS.webhooks: ">"})
        reply = await self.client.xreadgroup(GROUP, "p1", {KEYS.webhooks: "0"}, count=1)
        entry_id, fields = reply[0][1][0]
        entry = Entry(entry_id.decode(), decode(text_fields(fields)))
        entering = calls.enter(KEYS, [entry], instance="p1", lease_ttl_s=30, steps_ttl_s=60, wake=False)
        (entered,) = calls.read_enter(await run(self.client, entering), KEYS, [entry], "p1")
        assert entered.lease is not None
        e = entry.event
        end = kind(
            event_id=e.event_id, lead_id=e.lead_id, action=e.action, received_at=e.received_at,
            attempt=entered.attempt, fence=entered.lease.fence, instance="p1", **outcome,
        )  # fmt: skip
        item = Finishing(entry, entered.lease, end)
        finishing = calls.finish(KEYS, [item], instance="p1", steps_ttl_s=60, take_next=False)
        (finished,) = calls.read_finish(await run(self.client, finishing))
        assert finished.held

    async def fail(self, **outcome: Any) -> None:
        await self.attempt(AttemptFailed, **{"step": "send", "code": "x", "error": "failed"} | outcome)

    async def give_up(self, **outcome: Any) -> None:
        await self.attempt(LeadDeadLettered, **{"step": "send", "code": "x", "error": "failed"} | outcome)

    async def succeed(self) -> None:
        await self.attempt(LeadProcessed, result="sent")

    async def project(self) -> None:
        reader = blocking_client(self.environ["REDIS_URL"], block_s=1)
        models = read_models(PlainCodec())
        projector = Projector(self.db, reader, partitions=1, batch=500, models=models)
        while await projector.poll_once(0):
            pass
        await reader.aclose()


@asynccontextmanager
async def system(redis_url: str, database_url: str) -> AsyncIterator[System]:
    """An empty system with receivers, on a migrated database."""
    client, db = command_client(redis_url), await asyncpg.connect(database_url)
    await db.execute(f"TRUNCATE {TABLES}")
    try:
        async with receivers() as told:
            yield System({"REDIS_URL": redis_url, "DATABASE_URL": database_url}, client, db, told)
    finally:
        await db.close()
        await client.aclose()
