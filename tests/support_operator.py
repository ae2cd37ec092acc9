"""A door with a token for operators, and a record with something on it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import redis.asyncio as redis
from support_ingress import OUTCOMES, STREAM, Door, door_settings, lead

from ops.redis import blocking_client
from ops.settings import Settings
from projections.projector import Projector, read_models
from schema.codec import PlainCodec
from schema.events import LeadDeadLettered, LeadProcessed, WebhookAccepted, decode, encode, text_fields
from schema.times import to_text

ADMIN_TOKEN = "operators-token-0123456789"
BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
PHONE, EMAIL = "(11) 98765-1234", "ana@exemplo.com.br"


def operated_settings(redis_url: str, database_url: str, **more: str) -> Settings:
    return door_settings(redis_url, database_url, ADMIN_TOKEN=ADMIN_TOKEN, **more)


def body_of(lead_id: str, name: str = "Ana Exemplo") -> bytes:
    """A webhook that carries its customer."""
    customer = {"name": name, "phone": PHONE, "email": EMAIL}
    return lead(lead_id, attributes={"customer": customer})


async def accepted(door: Door, lead_id: str, name: str = "Ana Exemplo") -> str:
    answer = await door.post(body_of(lead_id, name))
    assert answer.status == 200
    return str(answer.json["event_id"])


async def end(redis_url: str, event_id: str, *, error: str = "", message: str = "") -> None:
    """Be the processor: one event ends, well or (with an error) as a dead letter."""
    async with redis.Redis.from_url(redis_url) as client:
        rows: Any = await client.xrange(STREAM)
        fields = next(f for f in (text_fields(f) for _, f in rows) if f["event_id"] == event_id)
        event = decode(fields)
        assert isinstance(event, WebhookAccepted)
        at = datetime.now(UTC) + timedelta(milliseconds=1)
        common: dict[str, Any] = {
            "event_id": event_id, "lead_id": event.lead_id, "action": event.action,
            "received_at": event.received_at, "at": at, "attempt": 1, "fence": 1, "instance": "p1",
        }  # fmt: skip
        if not error:
            timings = orjson.dumps({"people": 120, "send": 80}).decode()
            done = LeadProcessed(**common, result="sent", message=message, timings=timings)
            await client.xadd(OUTCOMES, encode(done))
            return
        dead = LeadDeadLettered(**common, step="send", code="c2s_error", api="c2s", error=error)
        await client.xadd(OUTCOMES, encode(dead))
        letter = fields | {"at": to_text(at), "attempts": "8", "step": "send", "code": "c2s_error"}
        await client.xadd("c2s:{0}:dead", letter | {"api": "c2s", "error": error})


async def record(redis_url: str, database_url: str) -> None:
    """Be the projector until the record is up to date."""
    conn = await asyncpg.connect(database_url)
    async with blocking_client(redis_url, block_s=1) as client:
        made = Projector(conn, client, partitions=1, batch=500, models=read_models(PlainCodec()))
        while await made.poll_once(0.001):
            pass
    await conn.close()


async def drop_payloads(database_url: str) -> None:
    """Be the retention: every body goes from the record."""
    conn = await asyncpg.connect(database_url)
    await conn.execute("UPDATE event_log SET payload = NULL")
    await conn.execute("UPDATE webhook_events SET raw_payload = NULL")
    await conn.close()


async def forget(database_url: str) -> None:
    conn = await asyncpg.connect(database_url)
    await conn.execute(
        "TRUNCATE webhook_events, event_log, projection_checkpoints, lead_state, attempts, dead_letters,"
        " operator_actions, alerts, people CASCADE"
    )
    await conn.close()


async def actions(database_url: str) -> list[tuple[str, str, str, str, int | None]]:
    """What is on record of operators, oldest first."""
    conn = await asyncpg.connect(database_url)
    rows = await conn.fetch("SELECT via, action, target, reason, affected FROM operator_actions ORDER BY id")
    await conn.close()
    return [tuple(row) for row in rows]
