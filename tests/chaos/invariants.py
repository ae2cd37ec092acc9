"""What must hold after the chaos, whatever was killed."""

from collections import defaultdict
from collections.abc import Iterable

import asyncpg
import redis.asyncio as aioredis

from schema.keys import GROUP, Keys

KEYS = Keys(0)


async def broken(accepted: Iterable[str], database_url: str, redis_url: str, messages: dict) -> list[str]:
    """The broken invariants, in words; empty when all hold."""
    db = await asyncpg.connect(database_url)
    client = aioredis.Redis.from_url(redis_url)
    try:
        rows = await db.fetch("SELECT id::text, lead_id, status, result, error_code FROM webhook_events")
        log = await db.fetch(
            "SELECT type, lead_id, (fields->>'fence')::bigint AS fence, entry_id FROM event_log"
            " WHERE stream = 'outcomes' ORDER BY recorded_at, split_part(entry_id, '-', 2)::int"
        )
        return [
            *_every_webhook_final(set(accepted), rows),
            *_one_message(rows, messages),
            *_one_owner(log),
            *await _nothing_left(client),
        ]
    finally:
        await db.close()
        await client.aclose()


def _every_webhook_final(accepted: set[str], rows: list) -> list[str]:
    status = {row["id"]: row["status"] for row in rows}
    lost = [f"event {e} was answered 200 and has no row" for e in sorted(accepted - set(status))]
    open_ = [
        f"event {e} is not final: {status[e]}"
        for e in sorted(accepted & set(status))
        if status[e] not in ("success", "failed")
    ]
    return lost + open_


def _one_message(rows: list, messages: dict) -> list[str]:
    found = []
    sent = {row["lead_id"] for row in rows if row["result"] == "sent" and row["status"] == "success"}
    for lead, texts in messages.items():
        refs = [text["body"].splitlines()[-1] for text in texts]
        if len(refs) != len(set(refs)):
            found.append(f"lead {lead} was messaged twice for one event: {refs}")
    found += [f"lead {lead} is `sent` but has no message" for lead in sorted(sent) if not messages.get(lead)]
    return found


def _one_owner(log: list) -> list[str]:
    """After a newer attempt of a lead began, an older one changed nothing; fences only grow."""
    newest: dict[str, int] = defaultdict(int)
    found = []
    for row in log:
        fence = row["fence"] or 0
        if not fence:
            continue
        if fence < newest[row["lead_id"]]:
            found.append(f"lead {row['lead_id']}: {row['type']} of an older fence at {row['entry_id']}")
        newest[row["lead_id"]] = max(newest[row["lead_id"]], fence)
    return found


async def _nothing_left(client: aioredis.Redis) -> list[str]:
    left = [key.decode() async for key in client.scan_iter("c2s:{0}:lead:*")]
    if await client.exists(KEYS.retries):
        left.append(KEYS.retries)
    pending = (await client.xpending(KEYS.webhooks, GROUP))["pending"]
    return [f"left in Redis: {key}" for key in left] + ([f"{pending} entries pending"] if pending else [])


async def count_final(database_url: str, accepted: set[str]) -> int:
    """How many of the accepted events reached their end."""
    db = await asyncpg.connect(database_url)
    try:
        return await db.fetchval(
            "SELECT count(*) FROM webhook_events"
            " WHERE status IN ('success', 'failed') AND id::text = ANY($1)",
            list(accepted),
        )
    finally:
        await db.close()
