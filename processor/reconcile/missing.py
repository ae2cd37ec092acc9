"""What a listed lead ought to have on record, and lacks. Pure.

An event *covers* a lead's update when it says the same or later: by its version (the ``updated_at`` that it
carried) or, where it carried none, by the time it came. Our own message is an update of the lead as well; its
echo is no news.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from schema.errors import BodyError
from schema.identity import CLOSE, CREATE, UPDATE
from schema.times import from_text, parse
from schema.webhook import Delivery, lead_object, parse_body

# A version in whole seconds was cut off: it speaks for the whole of its second.
_REST_OF_SECOND = timedelta(microseconds=999_999)
_ECHO = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Known:
    """An event that is on record.

    Attributes:
        version: as stored: a time, or the hash of a body that carried none.
        sent_at: when its message was sent; None where none was.
    """

    action: str
    version: str
    received_at: datetime
    sent_at: datetime | None = None


def missing_of(lead: dict[str, Any], since: datetime, known: Sequence[Known]) -> list[Delivery]:
    """The deliveries that never came.

    Args:
        lead: one of C2S's list, as it came.
        since: creations before it are not asked for.
        known: the lead's events.

    Raises:
        BodyError: the lead cannot be a webhook (no usable id, nested too deep).
    """
    return [delivery_of(lead, action) for action in _actions(lead, since, known)]


def lead_id_of(lead: dict[str, Any]) -> str:
    """The lead's id; raises as `missing_of`."""
    return delivery_of(lead, UPDATE).lead_id


def delivery_of(lead: dict[str, Any], action: str) -> Delivery:
    """The webhook about a listed lead, in the shape that C2S sends; raises as `missing_of`."""
    body = orjson.dumps({"hook_action": action, "data": lead_object(lead)})
    (element,) = parse_body(body).elements
    if isinstance(element, BodyError):
        raise element
    return element


def _actions(lead: dict[str, Any], since: datetime, known: Sequence[Known]) -> list[str]:
    resource = lead_object(lead)
    found = resource.get("attributes")
    attributes: dict[str, Any] = found if isinstance(found, dict) else resource
    created, updated = _time(attributes.get("created_at")), _time(attributes.get("updated_at"))
    have = {event.action for event in known}
    missing = []
    if not have & {CREATE, UPDATE} and (created is None or created >= since):
        missing.append(CREATE)
    if _is_closed(attributes) and CLOSE not in have:
        missing.append(CLOSE)
    if not missing and updated is not None and not any(_covers(event, updated) for event in known):
        missing.append(UPDATE)
    return missing


def _covers(event: Known, updated: datetime) -> bool:
    if event.sent_at is not None and abs(event.sent_at - updated) <= _ECHO:
        return True
    version = _version(event.version)
    if version is None:
        return event.received_at >= updated
    return version + (_REST_OF_SECOND if version.microsecond == 0 else timedelta()) >= updated


def _version(text: str) -> datetime | None:
    try:
        return from_text(text)
    except ValueError:
        return None


def _is_closed(attributes: dict[str, Any]) -> bool:
    return any(
        isinstance(details, dict) and details.get(flag) is True
        for details, flag in (
            (attributes.get("archive_details"), "archived"),
            (attributes.get("done_details"), "done"),
        )
    )


def _time(value: Any) -> datetime | None:
    try:
        return parse(value)
    except ValueError:
        return None
