"""Three of ten webhooks lost on their way: what reconcile finds, and how fast it asks."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from bench.company import Company
from bench.rig import KEYS
from schema.events import decode, text_fields
from schema.times import to_text

LOST_SHARE = 0.3
RECONCILE_SHARE = 0.2


async def run(poor: Company, per_minute: int, count: int) -> dict[str, object]:
    """Send, lose, look."""
    door = poor.open_door()
    told = (await poor.order("leads", count=count, deliver=True, drop=LOST_SHARE, url=door))["deliveries"]
    lost = {row["lead_id"] for row in told if row.get("dropped")}
    since = to_text(datetime.now(UTC) - timedelta(hours=24))
    words = (sys.executable, "-m", "processor.reconcile", "--since", since, "--json")
    # Its own environment: a bench is started with none of ours.
    env = {**os.environ, **poor.env, "RECONCILE_SHARE": str(RECONCILE_SHARE), "PYTHONPATH": "."}
    made = await asyncio.create_subprocess_exec(
        *words, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert made.stdout
    assert made.stderr
    pages = [time.monotonic() async for line in made.stderr if line.startswith(b"page ")]
    said = json.loads(await made.stdout.read())
    if await made.wait():
        raise RuntimeError("reconcile did not end well")
    stream = [decode(text_fields(fields)) for _, fields in await poor.client.xrange(KEYS.webhooks)]
    found = {event.lead_id for event in stream if event.source == "reconcile"}
    times = Counter(event.lead_id for event in stream)
    calls_per_minute = (len(pages) - 1) / (pages[-1] - pages[0]) * 60
    return {
        "lost_webhooks": f"{len(lost)} of {count}",
        "lost_webhooks_found": len(found & lost),
        "lost_webhooks_said_missing": said["missing"],
        "leads_repeated_by_reconcile": len(found - lost) + sum(n > 1 for n in times.values()),
        "reconcile_share_of_limit": round(calls_per_minute / per_minute, 2),
    }
