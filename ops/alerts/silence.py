"""Is it silent for longer than usual for this hour and weekday? Pure; the SQL is alerts_silence.sql."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WEEKS = 8
LEAST_WEEKS = 3  # with less history nothing is usual
HALF_STRETCH_S = 3600.0


@dataclass(frozen=True, slots=True)
class Silence:
    """How long no webhook came, and how long that may be.

    Attributes:
        usual_s: the middle one of the longest gaps around this hour and weekday in the weeks before.
        allowed_s: what it must not exceed.
    """

    silent_s: float
    usual_s: float
    allowed_s: float

    @property
    def unusual(self) -> bool:
        return self.silent_s > self.allowed_s


def silence_of(
    silent_s: float | None, gaps_s: Sequence[float], *, factor: float, least_s: float
) -> Silence | None:
    """The judgement; None where there is too little history for one.

    Args:
        silent_s: seconds since the last webhook; None where none ever came.
        gaps_s: the longest gap around the same hour and weekday, one for each week that has one.
        factor: how many times the usual gap is too long.
        least_s: a shorter silence is never too long.
    """
    if silent_s is None or len(gaps_s) < LEAST_WEEKS:
        return None
    usual_s = median(gaps_s)
    return Silence(silent_s, usual_s, max(least_s, factor * usual_s))
