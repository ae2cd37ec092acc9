"""The Work API away for minutes, a new lead every few seconds: what it was asked and what came of them."""

import asyncio
import time
from datetime import UTC, datetime

from bench.company import Company
from ops.sandbox.webhooks import webhook_body
from schema.identity import CREATE
from schema.keys import BudgetKeys

EVERY_S = 5.0
_BEFORE = 3
_MOST_WAIT_S = 900.0


async def run(down: Company, outage_s: float) -> dict[str, object]:
    """Break it, go on sending leads, mend it, and wait until every lead has its end."""
    ids = [await _lead(down, number) for number in range(_BEFORE)]
    await down.ends(ids, 120)
    before = await _asked(down)
    await down.order("faults", target="work.cpf", kind="error", status=500)
    until, next_lead = time.monotonic() + outage_s, 0.0
    until_open, opened = 0, 0
    while time.monotonic() < until:
        if time.monotonic() >= next_lead:
            ids.append(await _lead(down, len(ids)))
            next_lead = time.monotonic() + EVERY_S
        opened = int(await down.client.hget(BudgetKeys("work").budget, "opened") or 0)
        if opened and not until_open:
            until_open = await _asked(down) - before
        await asyncio.sleep(0.1)
    asked = await _asked(down) - before
    mended_at = datetime.now(UTC)
    await down.order("faults", clear=True)
    ends = await down.ends(ids, _MOST_WAIT_S)
    failed = [e for e in await down.outcomes() if e.type == "attempt_failed" and e.counted]
    return {
        "outage_s": round(outage_s),
        "outage_leads_that_ended_well": f"{sum(end.result == 'sent' for end in ends)} of {len(ids)}",
        "outage_calls_until_open": until_open,
        "outage_calls_while_open": asked - until_open,
        "outage_probes": opened - 1,
        "outage_attempts_spent_until_open": min(len(failed), until_open),
        "outage_attempts_spent_while_open": max(0, len(failed) - until_open),
        "outage_s_from_mended_to_last_end": round((ends[-1].at - mended_at).total_seconds()),
        "outage_refused_429": await down.refused(),
    }


async def _lead(down: Company, number: int) -> str:
    [event_id] = await down.accept(webhook_body(f"down-{number}", CREATE, "data", datetime.now(UTC)))
    return event_id


async def _asked(down: Company) -> int:
    return int((await down.state())["calls"]["work.cpf"])
