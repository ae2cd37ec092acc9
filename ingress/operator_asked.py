"""What a request to the operator API asks for: filters, pages and orders, each checked.

A cursor is the place of the last row seen, so a list goes on rightly however much came in between.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec

from ingress.problems import Refusal
from ops.ages import AGE, since_of
from ops.dead import DeadLetter
from ops.dead import Filter as LetterFilter
from ops.inspect import Filter, Row
from ops.operating import Selection
from schema.identity import ACTIONS, is_lead_id
from schema.status import Status

MOST_ROWS = 200
ROWS = 50
STATUSES = tuple(str(status) for status in Status)
EVENT_ID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
CODE = r"[a-z0-9_]{1,64}"
EVENT_CURSOR = r"[0-9]{1,16}\.[0-9a-f]{32}"
LETTER_CURSOR = r"[0-9]{1,4}\.[0-9]{1,15}-[0-9]{1,6}"
# RFC 3339's date-time.
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

ReasonText = Annotated[str, msgspec.Meta(min_length=3, max_length=300)]


class Reason(msgspec.Struct, forbid_unknown_fields=True):
    """Why something is revealed."""

    reason: ReasonText


class LettersOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters, and why; at least one filter, or ``all``."""

    reason: ReasonText
    event_id: str | msgspec.UnsetType = msgspec.UNSET
    lead_id: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    since: str | msgspec.UnsetType = msgspec.UNSET
    all: bool = False
    preview: bool = False


def events(query: Mapping[str, str], now: datetime) -> Filter:
    """Which events to list.

    Raises:
        Refusal: 422 ``query_invalid``.
    """
    return Filter(
        lead_id=_lead(query, "lead") or None,
        status=_one_of(query, "status", STATUSES) or None,
        action=_one_of(query, "action", tuple(sorted(ACTIONS))) or None,
        since=since(query, now),
        limit=_limit(query),
        before=_event_place(query.get("after")),
        until=since(query, now, "until"),
    )


def letters(query: Mapping[str, str], now: datetime) -> tuple[LetterFilter, tuple[int, str], int]:
    """Which dead letters to list, behind which place, and how many.

    Raises:
        Refusal: 422 ``query_invalid``.
    """
    which = LetterFilter(
        event_id=_event_id(query),
        lead_id=_lead(query, "lead"),
        code=_matching(query, "code", CODE),
        since=since(query, now),
    )
    partition, _, letter_id = _matching(query, "after", LETTER_CURSOR).partition(".")
    return which, (int(partition or 0), letter_id), _limit(query)


def selection(order: LettersOrder, now: datetime) -> Selection:
    """The dead letters that an order means.

    Raises:
        Refusal: 422 ``query_invalid``; ``selection_missing`` where nothing is named and not ``all``.
    """
    given = {
        name: text
        for name in ("event_id", "lead_id", "code", "since")
        if isinstance(text := getattr(order, name), str)
    }
    if not given and not order.all:
        detail = "Name event_id, lead_id, code or since; or set all to true."
        raise Refusal(422, "selection_missing", detail, event="operator.refused")
    lead_id, code = _lead(given, "lead_id"), _matching(given, "code", CODE)
    return Selection(LetterFilter(_event_id(given), lead_id, code, since(given, now)))


def since(query: Mapping[str, str], now: datetime, name: str = "since") -> datetime | None:
    """``since``, or another moment: an age or an RFC 3339 time; None where it is absent.

    Raises:
        Refusal: 422 ``query_invalid``.
    """
    text = query.get(name)
    if text is None:
        return None
    if re.fullmatch(AGE, text, re.ASCII):
        return since_of(text, now)
    if not re.fullmatch(TIME, text, re.ASCII):
        raise _wrong(name)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:  # within a day of the years 1 and 9999
        return datetime.min.replace(tzinfo=UTC) if text.startswith("0") else datetime.max.replace(tzinfo=UTC)
    except ValueError:
        raise _wrong(name) from None


def event_cursor(row: Row) -> str:
    """The place of a listed event."""
    return f"{(row['received_at'] - _EPOCH) // _MICROSECOND}.{row['event_id'].hex}"


def letter_cursor(letter: DeadLetter) -> str:
    """The place of a listed dead letter."""
    return f"{letter.partition}.{letter.letter_id}"


def _event_place(text: str | None) -> tuple[datetime, UUID] | None:
    if text is None:
        return None
    if not re.fullmatch(EVENT_CURSOR, text, re.ASCII):
        raise _wrong("after")
    micros, _, event_id = text.partition(".")
    return _EPOCH + timedelta(microseconds=int(micros)), UUID(event_id)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(ROWS))
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or not 1 <= int(text) <= MOST_ROWS:
        raise _wrong("limit")
    return int(text)


def _lead(query: Mapping[str, str], name: str) -> str:
    text = query.get(name, "")
    if name in query and not is_lead_id(text):
        raise _wrong(name)
    return text


def event_id(text: str) -> str:
    """An event's id in its usual form.

    Raises:
        Refusal: 422 ``query_invalid``.
    """
    return _event_id({"event_id": text})


def _event_id(query: Mapping[str, str]) -> str:
    text = _matching(query, "event_id", EVENT_ID)
    return str(UUID(text)) if text else ""


def _one_of(query: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    text = query.get(name, "")
    if name in query and text not in values:
        raise _wrong(name)
    return text


def _matching(query: Mapping[str, str], name: str, pattern: str) -> str:
    text = query.get(name, "")
    if name in query and not re.fullmatch(pattern, text, re.ASCII):
        raise _wrong(name)
    return text


def _wrong(name: str) -> Refusal:
    return Refusal(422, "query_invalid", f"{name} is not of its documented form.", event="operator.refused")
