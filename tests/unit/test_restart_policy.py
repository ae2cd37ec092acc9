"""When a dead service is started again."""

import pytest

from ops.supervise.restarts import RestartPolicy

POLICY = RestartPolicy(first_wait_s=0.5, cap_s=4.0, healthy_after_s=30.0)


@pytest.mark.parametrize(
    ("deaths", "wait_s"), [(1, 0.0), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, 4.0), (5000, 4.0)]
)
def test_waits_grow_up_to_the_cap(deaths: int, wait_s: float) -> None:
    """The first restart is immediate, later ones wait twice as long each, never longer than the cap."""
    assert POLICY.wait_s(deaths) == wait_s


@pytest.mark.parametrize(("before", "lived_s", "after"), [(0, 1.0, 1), (3, 29.9, 4), (3, 30.0, 1)])
def test_a_long_life_starts_the_count_anew(before: int, lived_s: float, after: int) -> None:
    """Only deaths soon after a start count as being in a row."""
    assert POLICY.deaths_in_row(before, lived_s) == after
