"""When a service that died is started again: a pure decision."""

from dataclasses import dataclass

WRONG_SETTINGS = 2  # exit code of a service that refuses its settings: trying again cannot help


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """At once the first time, then after growing waits, up to a cap.

    Attributes:
        first_wait_s: wait before the second restart in a row; doubles with each further one.
        cap_s: the longest wait.
        healthy_after_s: a service that lived this long starts the count anew.
    """

    first_wait_s: float = 0.5
    cap_s: float = 15.0
    healthy_after_s: float = 30.0

    def deaths_in_row(self, before: int, lived_s: float) -> int:
        """The count after one more death."""
        return 1 if lived_s >= self.healthy_after_s else before + 1

    def wait_s(self, deaths_in_row: int) -> float:
        """Seconds to wait before starting again after the given number of deaths in a row (1 or more)."""
        if deaths_in_row <= 1:
            return 0.0
        doublings = min(deaths_in_row - 2, 30)  # the power stays small however long it goes on
        return min(self.cap_s, self.first_wait_s * 2.0**doublings)
