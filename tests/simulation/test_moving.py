"""Seeded schedules while the number of partitions is being changed: doors and processors of either number."""

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from schema.calls import Appended, Appending
from schema.events import AttemptFailed
from simulation.invariants import broken
from simulation.loop import Stuck
from simulation.schedule import Schedule

SEEDS = 150
BOTH = ((1, 3), (3, 1))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


class Moving(Schedule):
    """Some webhooks are taken by both doors at the same moment, and the record is far behind."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.archive.lag_s = lambda: self.rng.expovariate(1 / 60)

    async def _post(self, item: Appending) -> Appended | None:
        if self.rng.random() > 0.3:
            return await super()._post(item)
        either = await asyncio.gather(super()._post(item), super()._post(item))
        return either[0] or either[1]


def run(seed: int) -> tuple[Schedule, list[str]]:
    schedule = Moving(seed, BOTH)
    try:
        schedule.run()
    except Stuck as stuck:
        return schedule, [f"it never came to rest: {stuck}", *broken(schedule)]
    return schedule, broken(schedule)


def seeds() -> range:
    if "SIM_SEED" in os.environ:
        return range(int(os.environ["SIM_SEED"]), int(os.environ["SIM_SEED"]) + 1)
    return range(int(os.environ.get("SIM_SEEDS", SEEDS)))


def test_every_promise_holds_while_partitions_are_changed() -> None:
    """Each event final, one message at most, a lead's webhooks ended in their order, nothing left.

    Among the schedules are webhooks that had to wait, and some that two doors took at once.
    """
    held = doubled = 0
    for seed in seeds():
        schedule, why = run(seed)
        if why:
            pytest.fail("\n".join([schedule.history(), "", *why, f"replay: SIM_SEED={seed}"]), pytrace=False)
        held += sum(isinstance(o, AttemptFailed) and o.code == "lead_elsewhere" for o in schedule.outcomes)
        entries = [f.event.event_id for f in schedule.archive.facts() if f.stream == "webhooks" and f.event]
        doubled += len(entries) - len(set(entries))
    if "SIM_SEED" not in os.environ:
        assert held > 0
        assert doubled > 0
