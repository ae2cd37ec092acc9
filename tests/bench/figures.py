"""Figures: medians with least and most, since one run on a shared machine says little."""

import statistics
from collections.abc import Sequence


def spread(figures: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(figures), digits),
        "min": round(min(figures), digits),
        "max": round(max(figures), digits),
    }


def ratios(ours: Sequence[float], floor: Sequence[float]) -> dict[str, float]:
    """Ours over the floor, round by round."""
    return spread([a / b for a, b in zip(ours, floor, strict=True)])


def shown(name: str, value: object) -> str:
    """One line of the printed table."""
    if isinstance(value, dict) and set(value) == {"median", "min", "max"}:
        return f"  {name:44} {value['median']:>12,g}   ({value['min']:,g} to {value['max']:,g})"
    return f"  {name:44} {value if isinstance(value, str) else format(value, ',g'):>12}"
