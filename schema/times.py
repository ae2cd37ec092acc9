"""Times as they come and as we store them.

Stored form: ISO-8601 in UTC with microseconds and ``Z`` (``2026-01-21T10:30:00.000000Z``), so that
``redis-cli`` reads well and text order is time order.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?", re.ASCII)
_SPACED_OFFSET = re.compile(r"(?<=[0-9]) +(?=[+-][0-9]{2}:?[0-9]{2}$)", re.ASCII)
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this is the year 5138; as milliseconds, 1973
_EPOCH_LIMIT = 1_000_000_000_000_000
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_LATEST_EPOCH_S = _LATEST.timestamp()
_LONGEST_TEXT = 40


def to_text(moment: datetime) -> str:
    """An aware datetime in the stored form."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def from_text(text: str) -> datetime:
    """The datetime of a stored form (or any ISO-8601 with an offset).

    Raises:
        ValueError: the text is not ISO-8601.
    """
    return datetime.fromisoformat(text)


def parse(value: Any) -> datetime:
    """A time as C2S sends it (C2S.md §1), as an aware UTC datetime.

    Accepts epoch seconds or milliseconds (numbers or their ASCII text), ISO-8601 with ``Z`` or an
    offset, and ``2025-01-21 10:30:00.000 -0300``. A text without offset is taken as UTC.

    Raises:
        ValueError: anything else, negative or out of the years 1970 to 9998.
    """
    if isinstance(value, bool):
        raise ValueError("a boolean is not a time")  # noqa: TRY004 -- one error type for callers
    if isinstance(value, int | float):
        return _from_epoch(float(value))
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isascii():
        raise ValueError("not a time")
    text = value.strip()
    if _EPOCH.fullmatch(text):
        return _from_epoch(float(text))
    moment = datetime.fromisoformat(_SPACED_OFFSET.sub("", text))
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:  # the years 1 and 9999 with an offset that leads out of them
        raise ValueError("time out of range") from None
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError("time out of range")
    return moment


def _from_epoch(number: float) -> datetime:
    if not 0 <= number < _EPOCH_LIMIT:  # also refuses NaN
        raise ValueError("epoch time out of range")
    seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
    if seconds >= _LATEST_EPOCH_S:
        raise ValueError("epoch time out of range")
    return _EARLIEST + timedelta(seconds=seconds)
