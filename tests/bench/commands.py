"""Redis commands per webhook, one by one and saturated.

Twice: of closes, which need nothing from outside (what the way through costs by itself), and of new leads
that are asked for outside in full (with turns of the budget, look-ups kept, steps recorded).
"""

from collections import Counter
from pathlib import Path

from bench.fleet import Fleet, fleet, request, send
from bench.http_load import load
from bench.monitor import Monitor, monitoring
from schema.identity import CLOSE, CREATE

SPARSE = 20


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Commands per webhook; ``count`` of each action are sent at once."""
    del rounds
    found: dict[str, object] = {}
    async with fleet(folder, 1) as made, monitoring(made.redis_url) as monitor:
        for what, action in (("without outside calls", CLOSE), ("with all outside calls", CREATE)):
            each = await one_by_one(made, monitor, action, "sparse", SPARSE)
            sparse = sum(each, Counter())
            saturated = await at_once(made, monitor, action, "many", count)
            found |= {
                f"{what}: one by one, commands per webhook": round(sparse.total() / SPARSE, 2),
                f"{what}: saturated, commands per webhook": round(saturated.total() / count, 3),
                f"{what}: by name, one by one": str(dict(sparse)),
                f"{what}: by name, saturated": str(dict(saturated)),
            }
    return found


async def one_by_one(made: Fleet, monitor: Monitor, action: str, name: str, count: int) -> list[Counter[str]]:
    """The commands of each of so many webhooks, the next sent when the end of the last is on record."""
    found, before = [], await made.good_ends()
    for number in range(count):
        monitor.clear()
        await send(made.port, [request(f"{name}-{number}", action)])
        await made.ended(before + number + 1, 60)
        found.append(monitor.names)
    return found


async def at_once(made: Fleet, monitor: Monitor, action: str, name: str, count: int) -> Counter[str]:
    """The commands of so many webhooks over 64 connections, until the end of the last is on record."""
    before = await made.good_ends()
    monitor.clear()
    await load(made.port, [request(f"{name}-{number}", action) for number in range(count)])
    await made.ended(before + count, 240)
    return monitor.names
