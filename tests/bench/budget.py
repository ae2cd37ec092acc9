"""The fleet's C2S budget: three processors, a sandbox that counts 60 calls in any minute.

* Leads that wait, whose webhooks carried the customer (one C2S call each), then a tenth as many
  that did not (two).
* Ten updates of each of ten leads in a second.
* New leads behind two and a half times as many queued replays.
* In a company of its own, while all that goes on: the Work API is away for five minutes (`bench.outage`).
* In a third one: every third webhook is lost, and reconcile looks for them (`bench.lost`).

The limit is one of the wall clock, so a round takes a second per call; one is enough.
"""

import asyncio
import statistics
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from bench import lost, outage
from bench.company import Company, company
from ops.sandbox.webhooks import Shape, webhook_body
from schema.budget import pace
from schema.identity import CREATE, UPDATE

PER_MINUTE = 60
PROCESSORS = 3
USUAL = 200
BARE_SHARE = 10
REPLAYS_SHARE = 2.5
BURSTS = 10
NEW_LEADS = 5
OUTAGE_S = 300.0
_DEADLINE_FACTOR = 1.5


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Each figure of each of these."""
    del rounds
    limit = f"{PER_MINUTE}/minute"
    async with company(folder / "main", limit) as ours, company(folder / "down", limit) as down:
        ours.start(PROCESSORS)
        down.start(PROCESSORS)
        away = asyncio.create_task(outage.run(down, OUTAGE_S * count / USUAL))
        found = await _leads(ours, count) | await _bursts(ours) | await _replays(ours, count)
        found |= {"refused_429": await ours.refused()}
        async with company(folder / "lost", limit) as poor:
            found |= await lost.run(poor, PER_MINUTE, max(60, round(count * 1.5)))
        return found | await away


def _within_s(calls: float) -> float:
    return 60 + calls * 60 / PER_MINUTE * _DEADLINE_FACTOR


def _bodies(name: str, count: int, shape: Shape = "data") -> list[bytes]:
    return [webhook_body(f"{name}-{number}", CREATE, shape, datetime.now(UTC)) for number in range(count)]


async def _leads(ours: Company, count: int) -> dict[str, object]:
    """Throughput against the limit, and C2S calls per lead."""
    ends = await ours.ends(await ours.accept(*_bodies("carried", count)), _within_s(count))
    first, bare = await ours.c2s_calls(), max(1, count // BARE_SHARE)
    await ours.ends(await ours.accept(*_bodies("bare", bare, "seed")), _within_s(2 * bare))
    took_s = (ends[-1].at - ends[0].at).total_seconds()
    per_minute = (len(ends) - 1) / took_s * 60
    return {
        "leads_per_minute": round(per_minute, 2),
        "share_of_limit": round(per_minute / PER_MINUTE, 4),
        "c2s_calls_per_lead_with_customer": first / count,
        "c2s_calls_per_lead_without": (await ours.c2s_calls() - first) / bare,
    }


def _updates(lead: str) -> list[bytes]:
    """Ten updates, each with another phone, a tenth of a second apart."""
    now = datetime.now(UTC)
    made = []
    for number in range(10):
        customer = {"name": "Ana Souza", "phone": f"1198765{number}{lead[-1]}00"}
        changed = {"updated_at": (now + timedelta(seconds=number / 10)).isoformat(), "customer": customer}
        made.append(orjson.dumps({"id": lead, "hook_action": UPDATE, "attributes": changed}))
    return made


async def _bursts(ours: Company) -> dict[str, object]:
    """Ten updates of a lead within a second: how many were worked on, and whether the last one won."""
    bursts = [_updates(f"burst-{number}") for number in range(BURSTS)]
    ids: list[list[str]] = [[] for _ in bursts]
    for number in range(10):
        fresh = await ours.accept(*(burst[number] for burst in bursts))
        for mine, event_id in zip(ids, fresh, strict=True):
            mine.append(event_id)
        await asyncio.sleep(0.1)
    runs, won = [], 0
    for mine in ids:
        ends = await ours.ends(mine, _within_s(4 * BURSTS))
        worked = [end for end in ends if end.result != "superseded"]
        runs.append(len(worked))
        won += worked[-1].event_id == mine[-1]
    return {"most_runs_of_ten_updates": max(runs), "bursts_that_the_last_state_won": f"{won} of {BURSTS}"}


async def _one_by_one(ours: Company, name: str) -> list[float]:
    """From accepting a new lead to its message, in seconds, one after another."""
    took_s = []
    for body in _bodies(name, NEW_LEADS):
        [end] = await ours.ends(await ours.accept(body), 120)
        took_s.append((end.at - end.received_at).total_seconds())
    return took_s


async def _replays(ours: Company, count: int) -> dict[str, object]:
    """New leads while replays queue, in ticks of the budget beyond what one takes on an idle fleet."""
    alone_s = await _one_by_one(ours, "alone")
    replays = max(50, round(count * REPLAYS_SHARE))
    queued = await ours.accept(*_bodies("replayed", replays), source="replay")
    began = await ours.c2s_calls()
    while await ours.c2s_calls() < began + 10:  # the replays are at work
        await asyncio.sleep(0.2)
    behind_s = await _one_by_one(ours, "new")
    left = len(queued) - len(
        {e.event_id for e in await ours.outcomes() if e.type == "lead_processed"} & {*queued}
    )
    own_s, tick_s = statistics.median(alone_s), pace(PER_MINUTE, 60.0).interval_s
    return {
        "new_lead_alone_s": round(own_s, 2),
        "new_lead_behind_replays_s": round(max(behind_s), 2),
        "ticks_waited_behind_replays": round((max(behind_s) - own_s) / tick_s, 2),
        "replays_that_waited_meanwhile": left,
    }
