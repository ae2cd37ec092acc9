"""The sender of a storm's webhooks: those of one lead one after the other, each until it is answered 200."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import aiohttp

from chaos.schedule import SHAPES, Sent, lead
from chaos.system import System
from ops.sandbox.webhooks import signature, webhook_body

_TRIES = 60
_TIMEOUT = aiohttp.ClientTimeout(total=15)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The first 200 of a webhook.

    Attributes:
        status: what the door said: accepted, duplicate or spooled; ``overtook`` where a repeat of a spooled
            webhook may have gone into the stream past the spool (Postgres had failed as well by then).
        tries: how many requests it took; above 1, an earlier one may have been taken without an answer.
    """

    event_id: str
    status: str
    tries: int


@dataclass
class Sender:
    """Sends; ``leads`` holds what each lead was answered, in the order sent."""

    system: System
    webhooks: int = 0
    refused: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    leads: dict[str, list[Accepted]] = field(default_factory=dict)

    @property
    def accepted(self) -> set[str]:
        """Event ids that were answered 200."""
        return {a.event_id for answers in self.leads.values() for a in answers}

    async def send(self, rng: random.Random, run: str, leads: int, seconds: float) -> None:
        """Send the webhooks of so many leads, begun in even time."""
        begun = time.monotonic()
        plans = [(lead(rng), rng.choice(SHAPES)) for _ in range(leads)]
        tasks = []
        for n, (plan, shape) in enumerate(plans):
            await asyncio.sleep(max(0.0, begun + n * seconds / leads - time.monotonic()))
            tasks.append(asyncio.create_task(self._lead(f"storm-{run}-{n}", plan, shape)))
        await asyncio.gather(*tasks)

    async def _lead(self, lead_id: str, plan: list[Sent], shape: str) -> None:
        begun = datetime.now(UTC)
        known = self.leads.setdefault(lead_id, [])
        for sent in plan:
            await asyncio.sleep(sent.pause_s)
            # A second apart each: the time in a body is what tells two updates apart.
            body = webhook_body(lead_id, sent.action, shape, begun + timedelta(seconds=sent.body))
            found = await asyncio.gather(*(self._post(body) for _ in range(sent.copies)))
            self.webhooks += sent.copies
            for answer in found:
                if answer:
                    _note(known, answer)
            if None in found:
                self.refused += 1
                return  # nothing is promised about it, nor about the order of what would follow

    async def _post(self, body: bytes) -> Accepted | None:
        ready = self.system.ready
        headers = {
            "X-C2S-Signature": signature(body, ready["webhook_secret"]),
            "Content-Type": "application/json",
        }
        for number in range(_TRIES):
            try:
                async with self.system.http.post(
                    ready["webhook_url"], data=body, headers=headers, timeout=_TIMEOUT
                ) as answer:
                    told = await answer.json() if answer.status == 200 else None
                    self.answers[f"{answer.status} {told['status']}" if told else str(answer.status)] += 1
                    if told:
                        return Accepted(told["event_id"], told["status"], number + 1)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                self.answers["no answer"] += 1
            await asyncio.sleep(0.7)
        return None


def _note(known: list[Accepted], answer: Accepted) -> None:
    """Keep the first answer of each event; a later one only where it says that it overtook the spool."""
    for place, first in enumerate(known):
        if first.event_id == answer.event_id:
            if first.status == "spooled" and (answer.status == "accepted" or answer.tries > 1):
                known[place] = replace(first, status="overtook")
            return
    known.append(answer)
