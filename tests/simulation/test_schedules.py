"""A thousand seeded schedules of crashes, pauses, lost replies and failing APIs; see docs/simulation.md."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from simulation.invariants import broken
from simulation.loop import Stuck
from simulation.schedule import Schedule

SEEDS = 1000
BATCH = 100


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Log lines of thousands of faults are no use, and most of a schedule's time."""
    before = structlog.get_config()
    if "SIM_SEED" not in os.environ:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def run(seed: int) -> tuple[Schedule, list[str]]:
    """The schedule of a seed, and the promises it broke."""
    schedule = Schedule(seed)
    try:
        schedule.run()
    except Stuck as stuck:
        return schedule, [f"it never came to rest: {stuck}", *broken(schedule)]
    return schedule, broken(schedule)


def seeds() -> list[range]:
    if "SIM_SEED" in os.environ:
        seed = int(os.environ["SIM_SEED"])
        return [range(seed, seed + 1)]
    count = int(os.environ.get("SIM_SEEDS", SEEDS))
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


@pytest.mark.parametrize("batch", seeds(), ids=lambda batch: f"{batch.start}-{batch.stop - 1}")
def test_every_promise_holds_after_every_schedule(batch: range) -> None:
    """Whatever dies, stops or loses replies: each event final once, one message at most, nothing left."""
    for seed in batch:
        schedule, why = run(seed)
        if "SIM_SEED" in os.environ:
            print(schedule.history())  # noqa: T201 -- what a replay is for
        if why:
            lines = "\n".join(
                [
                    schedule.history(),
                    "",
                    *why,
                    f'replay: SIM_SEED={seed} make test ARGS="tests/simulation -s"',
                ]
            )
            pytest.fail(lines, pytrace=False)


def test_a_seed_replays_exactly() -> None:
    """The same seed leads to the same history, whatever ran before it."""
    histories = {seed: run(seed)[0].history() for seed in (7, 8, 9)}
    assert histories == {seed: run(seed)[0].history() for seed in (9, 8, 7)}


def test_the_schedules_are_worth_their_name() -> None:
    """A hundred schedules hold all kinds of trouble: a simulation in which nothing happens proves nothing."""
    seen: set[str] = set()
    for seed in range(BATCH):
        schedule, _ = run(seed)
        seen |= schedule.network.counts.keys() | schedule.outside.counts.keys()
        seen |= {
            line.split(": ", 1)[1].split()[0] for line in schedule.log if line.split()[1].startswith("p")
        }
        seen |= {f"attempt {o.attempt}" for o in schedule.outcomes if o.attempt > 1}
        seen |= {o.type for o in schedule.outcomes}
    expected = {"killed", "stopped", "redis late", "redis request lost", "redis reply lost", "redis refused"}
    expected |= {"get 429", "get slow", "attempt 2", "webhook_duplicated", "attempt_failed"}
    assert expected <= seen
    assert sum(what.startswith("post ") for what in seen) >= 4, seen  # sends fail in several ways
