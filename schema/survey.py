"""Arguments and reply of `survey.lua`: one partition at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One partition at a glance; times in seconds, None where there is nothing to tell.

    Attributes:
        oldest_s: age of the oldest entry without an end.
        lag_s: age of the oldest entry behind the checkpoints.
        dead: dead letters.
        processor_s: time since a processor was last heard of.
        previous_secret_s: time since a previous secret was last used.
    """

    now_s: float
    oldest_s: float | None
    lag_s: float | None
    dead: int
    processor_s: float | None
    previous_secret_s: float | None


def survey(keys: Keys, webhooks_at: str, outcomes_at: str) -> ScriptCall:
    """Look at a partition; the two ids are the last recorded ones."""
    names = [keys.webhooks, keys.outcomes, keys.dead, keys.previous_secret]
    return ScriptCall(script("survey"), names, [GROUP, webhooks_at, outcomes_at])


def read_survey(reply: Sequence[Any]) -> Surveyed:
    now_ms = int(reply[0])

    def age_s(entry_id: bytes) -> float | None:
        return max(0.0, (now_ms - int(entry_id.split(b"-")[0])) / 1000) if entry_id else None

    lags = [age for age in map(age_s, reply[2:4]) if age is not None]
    return Surveyed(
        now_s=now_ms / 1000,
        oldest_s=age_s(reply[1]),
        lag_s=max(lags) if lags else None,
        dead=int(reply[4]),
        processor_s=None if int(reply[5]) < 0 else int(reply[5]) / 1000,
        previous_secret_s=None if int(reply[6]) < 0 else int(reply[6]) / 1000,
    )
