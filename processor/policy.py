"""What to do after an error: pure decisions over (error, attempt, randomness).

The error's *type* decides. Back-off is exponential with full jitter (M. Brooker, "Exponential Backoff And
Jitter", AWS 2015): uniform between 0 and the cap, so a crowd of failures does not come back as a crowd.
"""

import random
from dataclasses import dataclass

from schema.errors import (
    CircuitOpen,
    CodecError,
    KeyMissing,
    Permanent,
    Retryable,
    StorageUnavailable,
    Throttled,
    Unauthorized,
)

_OPERATOR_WAIT_S = 60.0
_STORAGE_WAIT_S = 2.0
_CIRCUIT_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """Bounds of the retries; seconds."""

    base_s: float
    max_s: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Wait ``delay_s`` and try again; ``counted`` says whether an attempt was spent."""

    delay_s: float
    counted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Dead letter."""


Decision = Retry | GiveUp


def decide(error: Exception, attempt: int, policy: BackoffPolicy, rng: random.Random) -> Decision:
    """What follows attempt number ``attempt`` (from 1) that ended in ``error``.

    An error of no known type is a bug of ours: it is retried like any failure and ends as a dead letter.
    """
    if isinstance(error, StorageUnavailable | KeyMissing):
        most_s = _OPERATOR_WAIT_S if isinstance(error, KeyMissing) else _STORAGE_WAIT_S
        return Retry(rng.uniform(most_s / 2, most_s), counted=False)
    if isinstance(error, Permanent | CodecError):
        return GiveUp()
    least = (error.retry_after_s or 0.0) if isinstance(error, Retryable) else 0.0
    if isinstance(error, CircuitOpen):
        # Spread, so that the first is the probe and most of the others find its result.
        return Retry(least + rng.uniform(0, max(policy.base_s, least * _CIRCUIT_SPREAD)), counted=False)
    if isinstance(error, Throttled):
        wait = _OPERATOR_WAIT_S if isinstance(error, Unauthorized) else policy.base_s
        return Retry(max(least, wait) + rng.uniform(0, policy.base_s), counted=False)
    if attempt >= policy.max_attempts:
        return GiveUp()
    cap = min(policy.max_s, policy.base_s * 2 ** (attempt - 1))
    return Retry(max(least, rng.uniform(0, cap)), counted=True)
