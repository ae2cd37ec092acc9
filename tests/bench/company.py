"""A company for the budget's scenarios: one C2S limit, processes of its own, and what came of its leads."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from bench.rig import KEYS, SECRET, answers, postgres_server, python, redis_server
from ops.append import Appender
from ops.dev.ports import free_port
from ops.migrate import migrate
from ops.redis import Client, command_client
from schema.calls import Appending
from schema.events import Event, Outcome, WebhookAccepted, decode, text_fields
from schema.keys import GROUP
from schema.webhook import parse_body

_APIS = ("C2S", "DIRETRIX", "WORK_API")
_CREDENTIALS = ("C2S_TOKEN", "DIRETRIX_USER", "DIRETRIX_PASS", "WORK_API_KEY")


@dataclass(frozen=True, slots=True)
class Company:
    """Redis, Postgres, and a sandbox that counts calls and refuses those above the limit.

    Attributes:
        env: of its processes.
    """

    client: Client
    sandbox_url: str
    env: dict[str, str]
    stack: ExitStack = field(repr=False)

    def start(self, processors: int) -> None:
        """Start so many processors; they end with the company."""
        for number in range(processors):
            self.stack.enter_context(python("-m", "processor", INSTANCE=f"p{number}", **self.env))

    def open_door(self) -> str:
        """Start an ingress; its address for webhooks."""
        port = free_port()
        self.stack.enter_context(python("-m", "ingress", HOST="127.0.0.1", PORT=str(port), **self.env))
        answers(port)
        return f"http://127.0.0.1:{port}/api/v1/webhook/leads"

    async def accept(self, *bodies: bytes, source: str = "webhook") -> list[str]:
        """Append webhooks as the door would; their event ids."""
        door = Appender(self.client, partitions=1, dedup_ttl_s=86_400, instance="bench")
        items = []
        for body in bodies:
            [item] = parse_body(body).elements
            event = WebhookAccepted(
                event_id=item.event_id,
                lead_id=item.lead_id,
                action=item.action,
                version=item.version,
                source=source,
                received_at=datetime.now(UTC),
                payload=item.payload,
            )
            items.append(Appending(event, item.dedup_key))
        return [done.event_id for done in await door.append_all(items)]

    async def outcomes(self) -> list[Event]:
        """All that became of them so far."""
        return [decode(text_fields(fields)) for _, fields in await self.client.xrange(KEYS.outcomes)]

    async def ends(self, event_ids: Collection[str], within_s: float) -> list[Outcome]:
        """How these events ended, in that order, once all did.

        Raises:
            TimeoutError: not all of them in time.
        """
        deadline, wanted = time.monotonic() + within_s, set(event_ids)
        while time.monotonic() < deadline:
            found = [e for e in await self.outcomes() if e.type == "lead_processed" and e.event_id in wanted]
            if len(found) == len(wanted):
                return sorted(found, key=lambda end: end.at)
            await asyncio.sleep(0.5)
        raise TimeoutError(f"{len(found)} of {len(wanted)} leads ended in time")

    async def state(self) -> dict[str, Any]:
        """What the sandbox has seen."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.sandbox_url}/_sandbox/state") as answer:
            return await answer.json()

    async def order(self, what: str, **form: object) -> dict[str, Any]:
        """Tell the sandbox something (`faults`, `leads`)."""
        url = f"{self.sandbox_url}/_sandbox/{what}"
        async with aiohttp.ClientSession() as http, http.post(url, json=form) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def c2s_calls(self) -> int:
        """Calls of C2S that were let through."""
        return sum(n for name, n in (await self.state())["calls"].items() if name.startswith("c2s."))

    async def refused(self) -> int:
        """Calls of C2S above the limit."""
        return int((await self.state())["throttled"]["c2s"])


@asynccontextmanager
async def company(folder: Path, c2s_limit: str) -> AsyncIterator[Company]:
    """A company with this limit, enforced by its sandbox; nothing of ours runs yet."""
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(folder))
        database = stack.enter_context(postgres_server(folder))
        await migrate(database.url)
        client = command_client(server.url)
        await client.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
        ours = {
            "REDIS_URL": server.url,
            "DATABASE_URL": database.url,
            "C2S_WEBHOOK_SECRET": SECRET,
            "C2S_RATE_LIMIT": c2s_limit,
            "DIRETRIX_RATE_LIMIT": "0",
            "WORK_API_RATE_LIMIT": "0",
            **{f"{api}_BASE_URL": f"http://127.0.0.1:{port}" for api in _APIS},
            **dict.fromkeys(_CREDENTIALS, "sandbox"),
        }
        words = ("-m", "ops.sandbox", "--port", str(port))
        stack.enter_context(python(*words, core=1, C2S_RATE_LIMIT=c2s_limit, C2S_WEBHOOK_SECRET=SECRET))
        answers(port)
        yield Company(client, f"http://127.0.0.1:{port}", ours, stack)
        await client.aclose()
