"""The retry policy: the error's type decides."""

import random

import pytest

from processor.policy import BackoffPolicy, GiveUp, Retry, decide
from schema.errors import (
    Ambiguous,
    CircuitOpen,
    CodecError,
    KeyMissing,
    Permanent,
    Retryable,
    StorageUnavailable,
    Throttled,
    Unauthorized,
)

POLICY = BackoffPolicy(base_s=2.0, max_s=60.0, max_attempts=3)


def decision(error, attempt=1, seed=1):
    return decide(error, attempt, POLICY, random.Random(seed))


@pytest.mark.parametrize("error", [Permanent("x", code="x"), CodecError("changed")])
def test_permanent_gives_up_at_once(error):
    """It will never work: no retry. So it is with a sealed text that somebody changed."""
    assert decision(error) == GiveUp()


@pytest.mark.parametrize("error", [Retryable("x", code="x"), Ambiguous("x", code="x"), ValueError("a bug")])
def test_failures_are_counted_and_end(error):
    """Attempts one and two retry, the third is the last; a bug of ours is no exception."""
    assert [type(decision(error, n)) for n in (1, 2, 3)] == [Retry, Retry, GiveUp]
    assert decision(error).counted


@pytest.mark.parametrize(
    "error", [Throttled("x", code="x"), Unauthorized("x", code="x"), StorageUnavailable(), KeyMissing("x")]
)
def test_waiting_never_spends_an_attempt(error):
    """The outside world's `wait` is never counted and never ends in a dead letter."""
    found = decision(error, attempt=99)
    assert isinstance(found, Retry)
    assert not found.counted


def test_delays_are_full_jitter_below_a_growing_cap():
    """Uniform between 0 and base x 2^(n-1), never above the greatest delay."""
    policy = BackoffPolicy(base_s=2.0, max_s=60.0, max_attempts=100)
    rng = random.Random(7)
    for attempt in range(1, 12):
        cap = min(60.0, 2.0 * 2 ** (attempt - 1))
        delays = [decide(Retryable("x", code="x"), attempt, policy, rng).delay_s for _ in range(300)]
        assert 0 <= min(delays) < cap * 0.1
        assert cap * 0.9 < max(delays) <= cap


def test_retry_after_is_obeyed():
    """The wait that the other side asked for is the least."""
    assert decision(Throttled("x", code="x", retry_after_s=90)).delay_s >= 90
    assert decision(Retryable("x", code="x", retry_after_s=90)).delay_s >= 90


def test_an_open_circuit_spends_no_attempt_and_spreads_the_crowd():
    """However often: the wait is the breaker's plus up to a fifth of it, and never a dead letter."""
    error = CircuitOpen("open", code="circuit_open", api="work", retry_after_s=100)
    delays = []
    for attempt in range(1, 50):
        decision = decide(error, attempt, POLICY, random.Random(attempt))
        assert decision.counted is False
        delays.append(decision.delay_s)
    assert min(delays) >= 100
    assert max(delays) <= 120
    assert max(delays) - min(delays) > 10
