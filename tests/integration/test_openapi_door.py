"""The OpenAPI document against the running door: schemathesis makes up requests and judges every answer."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import asyncpg
import redis.asyncio as redis
from support_ingress import OUTCOMES, SECRET, STREAM, TOKEN, door_settings, lead, open_door
from support_operator import ADMIN_TOKEN, operated_settings, record

from ingress.app import build_app, open_deps
from ops.migrate import migrate
from ops.redis import blocking_client
from projections.projector import Projector, read_models
from schema.codec import PlainCodec
from schema.events import LeadProcessed, decode, encode, text_fields
from schema.identity import event_id_of

TESTS = Path(__file__).parents[1]
MOST_S = 120

CONFIG = f"""
# A random token is a 404, and nothing more to see.
[[operations]]
include-operation-id = "takeWebhookWithToken"
parameters = {{ "path.token" = "{TOKEN}" }}

# What C2S sends is taken as far as it can be, also where it is not as described: so wrong bodies that are
# accepted, and described ones that name no lead, are no fault.
[[operations]]
include-tag = "webhooks"
checks.negative_data_rejection.enabled = false
checks.positive_data_acceptance.enabled = false

# An event that there is.
[[operations]]
include-operation-id = "leadStatus"
parameters = {{ "path.event_id" = "{event_id_of("L1:on_create_lead")}" }}

[[operations]]
include-operation-id = "tellEvent"
parameters = {{ "path.event_id" = "{event_id_of("L1:on_create_lead")}" }}

[[operations]]
include-operation-id = "revealPayload"
parameters = {{ "path.event_id" = "{event_id_of("L1:on_create_lead")}" }}

[[operations]]
include-operation-id = "revealMessage"
parameters = {{ "path.event_id" = "{event_id_of("L1:on_create_lead")}" }}
"""


async def finish_everything(url: str) -> None:
    """Be the processor: every event ends at once."""
    after = "0"
    async with redis.Redis.from_url(url, socket_timeout=30) as client:
        while True:
            reply: Any = await client.xread({STREAM: after}, block=5000, count=100)
            rows = next(iter(reply.values()))[0] if isinstance(reply, dict) else (reply or [[0, []]])[0][1]
            for entry_id, fields in rows:
                after = entry_id
                event = decode(text_fields(fields))
                end = LeadProcessed(
                    event_id=event.event_id, lead_id=event.lead_id, action=event.action,
                    received_at=event.received_at, at=event.received_at, result="sent",
                    message="Pessoa encontrada",
                )  # fmt: skip
                await client.xadd(OUTCOMES, encode(end))


async def record_everything(redis_url: str, database_url: str) -> None:
    """Be the projector."""
    conn = await asyncpg.connect(database_url)
    async with blocking_client(redis_url, block_s=5) as client:
        projector = Projector(conn, client, partitions=1, batch=500, models=read_models(PlainCodec()))
        while True:
            await projector.poll_once(5)


async def test_schemathesis_finds_nothing(redis_url: str, database_url: str, tmp_path: Path) -> None:
    """No undocumented status, content type, header or shape, no 5xx, no ignored key, whatever is sent."""
    await migrate(database_url)
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    environ = os.environ | {
        "DOOR_SECRET": SECRET,
        "DOOR_KEY": "trigger-key",
        "DOOR_ADMIN": ADMIN_TOKEN,
        "SCHEMATHESIS_HOOKS": "openapi_hooks",
    }
    environ |= {"PYTHONPATH": str(TESTS), "NO_COLOR": "1"}
    settings = operated_settings(redis_url, database_url, LEAD_RATE_LIMIT="0")
    async with open_door(settings) as door:
        await door.post(lead())
        await record(redis_url, database_url)
    async with open_door(settings) as door, asyncio.TaskGroup() as group:
        others = [
            group.create_task(finish_everything(redis_url)),
            group.create_task(record_everything(redis_url, database_url)),
        ]
        run = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "st"), "--config-file", str(tmp_path / "schemathesis.toml")),
            *("run", f"http://127.0.0.1:{door.port}/openapi.json", "--max-examples", "40"),
            *("--generation-deterministic", "--request-timeout", "10"),
            *("--suppress-health-check", "all"),
            cwd=tmp_path,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(MOST_S):
            output, _ = await run.communicate()
        for other in others:
            other.cancel()
    text = output.decode()
    assert run.returncode == 0, text
    # It came through to every operation: past the keys, and to events that there are.
    assert "Authentication failed" not in text
    assert "Missing test data" not in text


async def test_every_route_is_in_the_document_and_the_other_way_round(redis_url: str) -> None:
    """The document is made of the routes; a route that is added past it is found here."""
    settings = door_settings(redis_url)
    async with open_deps(settings, lambda: None) as deps:
        app, _ = build_app(deps)
        served = {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.method != "HEAD" and route.resource
        }
    async with open_door(settings) as door:
        made = (await door.ask("GET", "/openapi.json")).json
    documented = {(m.upper(), p) for p, methods in made["paths"].items() for m in methods}
    pages = {route for route in served if route[1].startswith("/console")}  # for people
    assert served - pages == documented
