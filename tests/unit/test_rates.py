"""Token buckets: what they let through, what they forget, and how much they remember."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.rates import Buckets


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> int:
        return round(self.now * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(buckets: Buckets, key: str, times: int) -> int:
    return sum(buckets.take(key) == 0 for _ in range(times))


def test_a_bucket_holds_the_rates_number(clock: Clock) -> None:
    """60/minute: 60 at once, then one a second."""
    buckets = Buckets("60/minute", clock=clock)
    assert taken(buckets, "L1", 100) == 60
    clock.now += 10
    assert taken(buckets, "L1", 100) == 10
    clock.now += 3600
    assert taken(buckets, "L1", 100) == 60


def test_keys_are_apart(clock: Clock) -> None:
    """One at its limit takes nothing from another."""
    buckets = Buckets("10/second", clock=clock)
    assert taken(buckets, "L1", 1000) == 10
    assert taken(buckets, "L2", 10) == 10


def test_the_wait_is_long_enough(clock: Clock) -> None:
    """Whoever waits as long as told gets a token."""
    buckets = Buckets("2/hour", clock=clock)
    assert taken(buckets, "L1", 2) == 2
    wait_s = buckets.take("L1")
    assert wait_s == 1800
    clock.now += wait_s
    assert buckets.take("L1") == 0


def test_no_rate_is_no_limit(clock: Clock) -> None:
    """Without a rate nothing is refused and nothing remembered."""
    buckets = Buckets("", clock=clock)
    assert taken(buckets, "L1", 1000) == 1000
    assert len(buckets) == 0


def test_memory_is_bounded(clock: Clock) -> None:
    """However many keys come, two generations are remembered, and a busy key stays among them."""
    buckets = Buckets("10/hour", most=100, clock=clock)
    assert taken(buckets, "busy", 10) == 10
    for n in range(10_000):
        buckets.take(f"L{n}")
        assert len(buckets) <= 200
        if n % 50 == 0:
            assert buckets.take("busy") > 0


def test_quiet_keys_are_forgotten(clock: Clock) -> None:
    """A key whose bucket is full again is remembered no longer than a generation more."""
    buckets = Buckets("10/second", clock=clock)
    for n in range(50):
        buckets.take(f"L{n}")
    for _ in range(2):
        clock.now += 2
        buckets.take("other")
    assert len(buckets) == 2  # the other, once in each generation


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 20))
def test_never_more_than_the_rate(pauses: list[float], count: int) -> None:
    """Over any stretch of time at most the bucket and what flowed in are taken, whatever the pauses."""
    clock = Clock()
    buckets = Buckets(f"{count}/minute", clock=clock)
    started, passed = clock.now, 0
    for pause in pauses:
        clock.now += pause
        passed += buckets.take("L1") == 0
        assert passed <= count + (clock.now - started) * count / 60 + 1e-6
