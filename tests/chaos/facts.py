"""What a system left behind, read once: rows, archive, and what is still in Redis."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import redis.asyncio as aioredis
from redis.exceptions import ResponseError

from schema.keys import GROUP, Keys

KEYS = Keys(0)
# Checkpoints are behind while the projector is: then the archive is not whole yet.
_CHECKPOINTS = "SELECT stream, max(entry_id) AS entry_id FROM projection_checkpoints GROUP BY stream"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the invariants look at.

    Attributes:
        rows: of webhook_events, by event id.
        entries: stream `webhooks` as archived, in stream order.
        log: stream `outcomes` as archived, in stream order; ``at`` in epoch seconds.
        messages: of the sandbox, by lead.
        left: what is still in Redis and should not be.
        kept: entries that both streams still hold; the archive's others were trimmed.
    """

    rows: dict[str, Mapping[str, Any]]
    entries: list[Mapping[str, Any]]
    log: list[Mapping[str, Any]]
    messages: Mapping[str, list[Mapping[str, str]]]
    left: list[str]
    kept: int = 0


async def gather(database_url: str, redis_url: str, messages: Mapping[str, list[Mapping[str, str]]]) -> Facts:
    """Read everything; the system is to be at rest."""
    db = await asyncpg.connect(database_url)
    try:
        rows = await db.fetch("SELECT id::text, lead_id, status, result, error_code FROM webhook_events")
        archive = await db.fetch(
            "SELECT stream, type, event_id::text, lead_id, entry_id, fields FROM event_log"
        )
    finally:
        await db.close()
    entries = [_entry(row) for row in archive]
    entries.sort(key=lambda entry: entry["order"])
    return Facts(
        rows={row["id"]: dict(row) for row in rows},
        entries=[entry for entry in entries if entry["stream"] == "webhooks"],
        log=[entry for entry in entries if entry["stream"] == "outcomes"],
        messages=messages,
        left=await left_in(redis_url),
        kept=await _kept_in(redis_url),
    )


def _entry(row: asyncpg.Record) -> dict[str, Any]:
    fields = json.loads(row["fields"])
    at = fields.get("at")
    return {
        "stream": row["stream"],
        "type": row["type"],
        "event_id": row["event_id"],
        "lead_id": row["lead_id"],
        "entry_id": row["entry_id"],
        "order": order_of(row["entry_id"]),
        "fence": int(fields.get("fence") or 0),
        "instance": fields.get("instance", ""),
        "at": datetime.fromisoformat(at).timestamp() if at else 0.0,
    }


def order_of(entry_id: str) -> tuple[int, int]:
    """What stream ids are ordered by."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence)


async def left_in(redis_url: str) -> list[str]:
    """Leases, queues, retries and pending entries in Redis, and steps that would stay for ever."""
    client = aioredis.Redis.from_url(redis_url)
    try:
        left = [key.decode() async for key in client.scan_iter(f"{KEYS.prefix}:lead:*")]
        if await client.exists(KEYS.retries):
            left.append(KEYS.retries)
        left += [
            f"{key.decode()} without an end"
            async for key in client.scan_iter(KEYS.steps("*"))
            if await client.ttl(key) == -1
        ]
        try:
            pending = (await client.xpending(KEYS.webhooks, GROUP))["pending"]
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            return [
                *left,
                "no consumer group yet",
            ]  # the stream was deleted: whoever reads it makes them anew
        return left + ([f"{pending} pending entries"] if pending else [])
    finally:
        await client.aclose()


async def _kept_in(redis_url: str) -> int:
    client = aioredis.Redis.from_url(redis_url)
    try:
        return await client.xlen(KEYS.webhooks) + await client.xlen(KEYS.outcomes)
    finally:
        await client.aclose()


async def unsettled(database_url: str, redis_url: str, accepted: set[str]) -> str:
    """What is still to come, in words; empty once the system is at rest."""
    db = await asyncpg.connect(database_url)
    client = aioredis.Redis.from_url(redis_url)
    try:
        final = await db.fetchval(
            "SELECT count(*) FROM webhook_events"
            " WHERE status IN ('success', 'failed') AND id::text = ANY($1)",
            list(accepted),
        )
        if final < len(accepted):
            return f"{len(accepted) - final} events are not final"
        if await db.fetchval("SELECT count(*) FROM ingress_spool WHERE drained_at IS NULL"):
            return "the spool is not empty"
        done = {row["stream"]: row["entry_id"] for row in await db.fetch(_CHECKPOINTS)}
        for name in ("webhooks", "outcomes"):
            newest = await client.xrevrange(f"{KEYS.prefix}:{name}", count=1)
            if newest and order_of(done.get(name, "0-0")) < order_of(newest[0][0].decode()):
                return f"the projector is behind on {name}"
    finally:
        await db.close()
        await client.aclose()
    left = await left_in(redis_url)
    return f"Redis holds {left[:5]}" if left else ""


async def rebuilt_differs(environment: Mapping[str, str]) -> list[str]:
    """What `c2s rebuild --check` says against the live tables; empty where nothing differs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "projections.rebuild",
        "--check",
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode == 0:
        return []
    return [f"`c2s rebuild --check` ended with {process.returncode}:", *said.decode().splitlines()[:30]]
