"""Small charts of text: bars and sparklines."""

from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEVELS = "▁▂▃▄▅▆▇█"


def bar(value: float, most: float, width: int = 30) -> str:
    """A bar of at most ``width`` characters, to an eighth; anything above nothing shows."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, round(min(value / most, 1.0) * width * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(values: Sequence[float]) -> str:
    """One character per value, as high as it is beside the greatest; nothing is a space."""
    most = max(values, default=0)
    if most <= 0:
        return " " * len(values)
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round(v / most * top)] if v > 0 else " " for v in values)
