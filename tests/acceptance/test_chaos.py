"""A short storm in every test run; `make chaos` runs longer ones."""

import os
import random

from chaos.storm import storm


async def test_no_webhook_is_lost_or_messaged_twice_whatever_dies(tmp_path):
    """Processors, projector, ingress, Redis and Postgres are killed, the outside APIs misbehave: all holds.

    The seed is printed with the report; CHAOS_SEED repeats its schedule.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    report = await storm(tmp_path, seed=seed, seconds=60, leads=100)
    assert report.broken == [], str(report)
    assert len(report.accepted) >= 90, str(report)
    assert sum(n for what, n in report.injected.items() if what.startswith("SIGKILL")) >= 5, str(report)
