"""What the console's lists ask for: filters as people write them, and the places where a page goes on."""

import re
from datetime import UTC, datetime, timedelta

from aiohttp import web

from ingress.problems import Refusal

ROWS = 50
_TOLD_ELSEWHERE = ("lang", "done", "count")
# As the console itself shows a moment: without a zone, so in the one that it names.
_SHOWN = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2})(:\d{2})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PLACE = re.compile(r"(\d{1,16})\.([0-9A-Za-z._:@-]{1,128})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def given(request: web.Request) -> dict[str, str]:
    """The filters, as they were typed."""
    query = request.query.items()
    return {name: value.strip() for name, value in query if value.strip() and name not in _TOLD_ELSEWHERE}


def understood(typed: dict[str, str]) -> dict[str, str]:
    """The same with moments in the form that the operator API takes."""
    return {name: moment(text) if name in ("since", "until") else text for name, text in typed.items()}


def moment(text: str) -> str:
    """A moment as shown (``2026-01-21 12:30``, or a day) with its zone; anything else as it is."""
    shown = f"{text} 00:00" if _DAY.fullmatch(text) else text
    found = _SHOWN.fullmatch(shown)
    if found is None:
        return text
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or ':00'}").astimezone().isoformat()
    except (ValueError, OverflowError):
        return text


def place(at: datetime, name: object) -> str:
    """Where a list goes on after a row: its time, and what tells rows of one time apart."""
    return f"{(at - _EPOCH) // _MICROSECOND}.{name}"


def place_of(text: str | None) -> tuple[datetime, str] | None:
    """The row after which a page begins; None for the first page.

    Raises:
        Refusal: 422 ``query_invalid``.
    """
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise _wrong_place()
    return _EPOCH + timedelta(microseconds=int(found[1])), found[2]


def numbered_place_of(text: str | None) -> tuple[datetime, int] | None:
    """The same of a list whose rows are told apart by number.

    Raises:
        Refusal: 422 ``query_invalid``.
    """
    found = place_of(text)
    if found is None:
        return None
    at, name = found
    if not re.fullmatch(r"[0-9]{1,18}", name, re.ASCII):
        raise _wrong_place()
    return at, int(name)


def _wrong_place() -> Refusal:
    return Refusal(422, "query_invalid", "after is not of its documented form.", event="operator.refused")
