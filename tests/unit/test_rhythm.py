"""How long a call may wait for others: nothing where few leads are in work, else a part of what they take."""

import pytest

from processor.rhythm import Rhythm


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def learnt(lead_s: float) -> tuple[Rhythm, Clock]:
    """A rhythm that has seen many leads of so many seconds."""
    clock = Clock()
    rhythm = Rhythm(clock)
    for _ in range(200):
        began = rhythm.began()
        clock.now_s += lead_s
        rhythm.ended(began)
    return rhythm, clock


@pytest.mark.parametrize(("in_work", "waits"), [(0, False), (1, False), (7, False), (8, True), (64, True)])
def test_only_in_a_crowd_does_a_call_wait(in_work, waits):
    """A lead alone is never slower for it."""
    rhythm, _ = learnt(0.5)
    for _ in range(in_work):
        rhythm.began()
    assert (rhythm.gather_s() > 0) == waits


@pytest.mark.parametrize(
    ("lead_s", "gather_s"), [(0.0, 0.0), (0.01, 0.0), (0.1, 0.005), (0.5, 0.025), (60.0, 0.1)]
)
def test_a_twentieth_of_what_leads_take_and_a_tenth_of_a_second_at_most(lead_s, gather_s):
    """So leads that take no time are not held up, and slow ones wait less than anybody notices."""
    rhythm, _ = learnt(lead_s)
    for _ in range(8):
        rhythm.began()
    assert rhythm.gather_s() == pytest.approx(gather_s, rel=0.01)
