"""Moments as operators write them: an age (``30m``, ``2h``, ``7d``) or a time."""

import re
from datetime import datetime, timedelta

from schema.errors import SettingsError
from schema.times import parse

AGE = r"[0-9]{1,5}[smhd]"
_AGE = re.compile(r"(\d{1,5})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since_of(text: str, now: datetime, name: str = "--since") -> datetime | None:
    """A moment from ``30m``, ``2h``, ``7d`` or a time; None for an empty text.

    Raises:
        SettingsError: neither an age nor a time.
    """
    if not text:
        return None
    age = _AGE.fullmatch(text)
    if age:
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        return parse(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is neither an age (30m, 2h, 7d) nor a time") from None
