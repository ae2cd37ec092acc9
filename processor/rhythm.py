"""How long a busy instance may let a call wait for others to share it: a small part of what its leads take.

Alone, a lead waits for nothing. Among many, each of its few round trips may take a twentieth of what a lead
takes here at present, and a tenth of a second at most, so that many leads share one command. More would fill
the slots with leads that only wait.
"""

import time
from collections.abc import Callable

_CROWD = 8  # fewer leads in work seldom have a question at the same moment
_SHARE = 0.05
_LEAST_S, _MOST_S = 0.001, 0.1
_NEWEST = 0.1  # weight of the newest attempt in the mean


class Rhythm:
    """The rhythm of one instance's attempts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_work = 0
        self._mean_s = 0.0

    def began(self) -> float:
        """An attempt begins; when that was."""
        self._in_work += 1
        return self._clock()

    def ended(self, began: float) -> None:
        """The attempt that began then has ended."""
        self._in_work -= 1
        self._mean_s += _NEWEST * (self._clock() - began - self._mean_s)

    def gather_s(self) -> float:
        """How long a call may wait now, in seconds."""
        wait_s = min(self._mean_s * _SHARE, _MOST_S)
        return wait_s if self._in_work >= _CROWD and wait_s >= _LEAST_S else 0.0
