"""The budget of an outside API: so many calls in any stretch of the stated length."""

import math
import re
from collections import deque
from dataclasses import dataclass, field

_RATE = re.compile(r"([0-9]{1,9})/(second|minute|hour)", re.ASCII)
_PERIODS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` calls in any ``period_s`` seconds."""

    limit: int
    period_s: float


def parse_rate(text: str) -> Rate | None:
    """The rate that a text such as ``120/minute`` states; None (no limit) for an empty text or ``0``.

    Raises:
        ValueError: the text is not ``N/second``, ``N/minute`` or ``N/hour``.
    """
    stated = text.strip().lower()
    if stated in ("", "0"):
        return None
    match = _RATE.fullmatch(stated)
    if match is None:
        raise ValueError(f"a rate limit reads N/second, N/minute or N/hour, not {text!r}")
    limit = int(match[1])
    return Rate(limit, _PERIODS_S[match[2]]) if limit else None


@dataclass(slots=True)
class SlidingWindow:
    """Remembers when calls were let through; a refused call takes nothing from the budget."""

    rate: Rate | None
    admitted: deque[float] = field(default_factory=deque)

    def admit(self, now_s: float) -> int:
        """Take one call from the budget, if there is one.

        Args:
            now_s: a monotonic clock, in seconds.

        Returns:
            0 if the call may pass, otherwise the whole seconds to wait (``Retry-After``, at least 1).
        """
        if self.rate is None:
            return 0
        while self.admitted and self.admitted[0] <= now_s - self.rate.period_s:
            self.admitted.popleft()
        if len(self.admitted) < self.rate.limit:
            self.admitted.append(now_s)
            return 0
        return max(1, math.ceil(self.admitted[0] + self.rate.period_s - now_s))
