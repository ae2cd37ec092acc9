"""How long the leads of a killed processor waited until somebody took them on again."""

from collections.abc import Mapping, Sequence
from typing import Any

ENDINGS = frozenset({"attempt_failed", "lead_processed", "lead_dead_lettered"})


def takeovers(
    kills: Sequence[tuple[float, str]], log: Sequence[Mapping[str, Any]], outages: Sequence[Sequence[float]]
) -> list[float]:
    """Seconds from each kill to the next `processing_started` of each lead that was in work there.

    Where a server was away between the two, the time is counted from its return: nobody can take a lead
    over from a Redis that is not there.

    Args:
        kills: when (epoch seconds) and which instance.
        log: outcomes in stream order: type, lead_id, instance, fence, at (epoch seconds).
        outages: from when until when a server was away.
    """
    ended = {(row["lead_id"], row["fence"]): row["at"] for row in log if row["type"] in ENDINGS}
    starts: dict[str, list[Mapping[str, Any]]] = {}
    for row in log:
        if row["type"] == "processing_started":
            starts.setdefault(row["lead_id"], []).append(row)
    found = []
    for killed_at, name in kills:
        for lead_id, rows in starts.items():
            before = [row for row in rows if row["at"] <= killed_at]
            after = [row for row in rows if row["at"] > killed_at]
            if not before or before[-1]["instance"] != name or not after:
                continue
            if (lead_id, before[-1]["fence"]) in ended:
                continue  # its end was recorded: nothing was left to take over
            found.append(_waited(killed_at, after[0]["at"], outages))
    return sorted(found)


def _waited(killed_at: float, taken_at: float, outages: Sequence[Sequence[float]]) -> float:
    since = max(
        [killed_at, *(back for away, back in outages if away < taken_at and killed_at < back < taken_at)]
    )
    return taken_at - since
