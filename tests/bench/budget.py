"""The fleet's C2S budget: leads that wait, three processors, a sandbox that counts 60 calls in any minute.

First so many leads whose webhooks carried the customer (one C2S call each), then a tenth as many that did not
(two). The limit is one of the wall clock, so a round takes a second per call; one is enough.
"""

import asyncio
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from bench.rig import KEYS, NO_POSTGRES, answers, postgres_server, python, redis_server
from ops.append import Appender
from ops.dev.ports import free_port
from ops.migrate import migrate
from ops.redis import Client, command_client
from ops.sandbox.webhooks import Shape, webhook_body
from schema.calls import Appending
from schema.events import WebhookAccepted, decode, text_fields
from schema.identity import CREATE
from schema.keys import GROUP
from schema.webhook import parse_body

PER_MINUTE = 60
PROCESSORS = 3
BARE_SHARE = 10
_DEADLINE_FACTOR = 1.5


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Throughput against the limit, refusals, and C2S calls per lead."""
    del rounds
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(folder))
        database = stack.enter_context(postgres_server(folder))
        await migrate(database.url)
        client = command_client(server.url)
        await client.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
        limit = f"{PER_MINUTE}/minute"
        sandbox = stack.enter_context(
            python("-m", "ops.sandbox", "--port", str(port), core=1, C2S_RATE_LIMIT=limit)
        )
        answers(port)
        url = f"http://127.0.0.1:{port}"
        env = {
            "REDIS_URL": server.url,
            "DATABASE_URL": database.url or NO_POSTGRES,
            **{f"{api}_BASE_URL": url for api in ("C2S", "DIRETRIX", "WORK_API")},
            **dict.fromkeys(("C2S_TOKEN", "DIRETRIX_USER", "DIRETRIX_PASS", "WORK_API_KEY"), "sandbox"),
            "C2S_RATE_LIMIT": limit,
            "DIRETRIX_RATE_LIMIT": "0",
            "WORK_API_RATE_LIMIT": "0",
        }
        await _append(client, "carried", count, "data")
        for number in range(PROCESSORS):
            stack.enter_context(python("-m", "processor", INSTANCE=f"p{number}", **env))
        carried = await _ends(client, count)
        first = await _calls(url)
        bare_count = max(1, count // BARE_SHARE)
        await _append(client, "bare", bare_count, "seed")
        await _ends(client, count + bare_count)
        second = await _calls(url)
        await client.aclose()
        assert sandbox.poll() is None
    per_minute = (len(carried) - 1) / (carried[-1] - carried[0]) * 60
    return {
        "leads_per_minute": round(per_minute, 2),
        "share_of_limit": round(per_minute / PER_MINUTE, 4),
        "refused_429": second["throttled"],
        "c2s_calls_per_lead_with_customer": first["calls"] / count,
        "c2s_calls_per_lead_without": (second["calls"] - first["calls"]) / bare_count,
    }


async def _append(client: Client, name: str, count: int, shape: Shape) -> None:
    door = Appender(client, partitions=1, dedup_ttl_s=86_400, instance="bench")
    items = []
    for number in range(count):
        now = datetime.now(UTC)
        [item] = parse_body(webhook_body(f"{name}-{number}", CREATE, shape, now)).elements
        event = WebhookAccepted(
            event_id=item.event_id,
            lead_id=item.lead_id,
            action=item.action,
            version=item.version,
            source="webhook",
            received_at=now,
            payload=item.payload,
        )
        items.append(Appending(event, item.dedup_key))
    await door.append_all(items)


async def _ends(client: Client, count: int) -> list[float]:
    """When each event ended, once so many did."""
    deadline = time.monotonic() + 60 + count * 60 / PER_MINUTE * _DEADLINE_FACTOR
    while time.monotonic() < deadline:
        rows = await client.xrange(KEYS.outcomes)
        facts = [decode(text_fields(fields)) for _, fields in rows]
        ends = [fact.at.timestamp() for fact in facts if fact.type == "lead_processed" and fact.at]
        if len(ends) >= count:
            return sorted(ends)
        await asyncio.sleep(1)
    raise TimeoutError(f"{len(ends)} of {count} leads ended in time")


async def _calls(url: str) -> dict[str, int]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/_sandbox/state") as answer:
        state = await answer.json()
    calls = sum(number for name, number in state["calls"].items() if name.startswith("c2s."))
    return {"calls": calls, "throttled": state["throttled"]["c2s"]}
