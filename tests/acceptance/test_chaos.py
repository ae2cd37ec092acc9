"""A short storm in every test run; `make chaos` runs longer ones."""

import os
import random

import pytest

from chaos import schedule
from chaos.storm import storm


@pytest.mark.timeout(900)  # two minutes of storm, and a machine that may be busy with other tests
async def test_no_webhook_is_lost_or_messaged_twice_whatever_dies(tmp_path):
    """Processes and servers are killed, connections cut, replies dropped, the outside APIs fail: all holds.

    The seed is printed with the report; CHAOS_SEED repeats its schedule.
    """
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    report = await storm(tmp_path, seed=seed, seconds=120, leads=140)
    assert report.sender is not None
    assert report.broken == [], f"{report}\nrepeat with CHAOS_SEED={seed}; logs in {tmp_path}"
    assert len(report.sender.leads) == 140, str(report)
    assert len(report.kills) >= 10, str(report)


def test_a_seed_repeats_its_schedule():
    """The blows of a storm are drawn from its seed beforehand, each kind at least once."""
    one, same, other = (schedule.blows(random.Random(seed), 120) for seed in (7, 7, 8))
    assert one == same
    assert one != other
    assert {blow.kind for blow in one} == set(schedule.WEIGHTS)
