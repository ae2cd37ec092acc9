"""An idle system's Redis commands: a door, a processor and a projector that nobody sends anything to.

Default settings, measured over ten minutes and scaled to a day. One webhook came through before, and what
follows from it (a look for crashed owners, a check of the alerts) is over when the measuring begins.
"""

import asyncio
from pathlib import Path

from bench.fleet import fleet
from bench.monitor import monitoring
from ops.settings import Settings

DAY_S = 86_400


async def run(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """Commands a day of each, and their names; ``count`` is for how many seconds nothing happens."""
    del rounds
    usual = Settings()
    limits = {
        "C2S_RATE_LIMIT": usual.c2s_rate_limit,
        "DIRETRIX_RATE_LIMIT": usual.diretrix_rate_limit,
        "WORK_API_RATE_LIMIT": usual.work_api_rate_limit,
    }
    async with fleet(folder, 1, **limits) as made, monitoring(made.redis_url) as monitor:
        await asyncio.sleep(max(usual.alert_every, usual.reclaim_idle_secs) * 1.25)
        monitor.clear()
        await asyncio.sleep(count)
        found: dict[str, object] = {}
        known = 0
        for name, process in made.processes.items():
            sent = monitor.of([process.pid])
            known += sent.total()
            found[f"{name}, commands per day"] = round(sent.total() / count * DAY_S)
            found[f"{name}, by name"] = str(dict(sent))
        return {
            **found,
            "commands of nobody that lives": monitor.names.total() - known,
            "measured over s": count,
        }
