"""Kinds of values that several settings share."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

_RATE = re.compile(r"(\d+)/(second|minute|hour)")
_RATE_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_AGE = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)([smhd]?)", re.ASCII)
_AGE_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
NO_SECRET = SecretStr("")


def _rate_text(value: Any) -> str:
    text = str(value).strip().lower()
    if text in ("", "0", "off"):
        return ""
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) < 1:
        raise ValueError("must look like 10/minute (second, minute or hour), or 0 for no limit")
    return text


RateText = Annotated[str, BeforeValidator(_rate_text)]


def rate_interval_s(rate: str) -> float:
    """Seconds between two calls of a checked rate text (``10/minute`` -> 6.0); 0.0 for no limit."""
    match = _RATE.fullmatch(rate)
    return _RATE_SECONDS[match[2]] / int(match[1]) if match else 0.0


def rate_burst(rate: str) -> int:
    """How many calls a checked rate text names (``10/minute`` -> 10); 0 for no limit."""
    match = _RATE.fullmatch(rate)
    return int(match[1]) if match else 0


def _seconds(value: Any) -> float:
    match = _AGE.fullmatch(str(value).strip().lower())
    if match is None:
        raise ValueError("must look like 90, 90s, 15m, 1h or 1d")
    return float(match[1]) * _AGE_SECONDS[match[2]]


# A length of time in seconds, written with a unit (`15m`) or as plain seconds.
Seconds = Annotated[float, BeforeValidator(_seconds)]
