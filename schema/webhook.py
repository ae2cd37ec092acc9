"""Webhook bodies as C2S sends them (C2S.md §1), normalised into deliveries.

Pure: bytes in, deliveries out. Batches are taken apart without re-encoding, so each element's payload
is kept byte for byte.
"""

import json
import math
import re
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import orjson

from schema.errors import BodyError
from schema.identity import ACTIONS, UPDATE, dedup_key, event_id_of, is_lead_id, version_of_body
from schema.times import parse, to_text

MAX_DEPTH = 32
_LONGEST_ACTION = 64
# Possessive, and content with an open end: one pass whatever the bytes, so no body can make it slow.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_UPDATED_AT_KEYS = ("updated_at", "timestamp")
_TIME_MALFORMED = ("timestamp_malformed", "the body's timestamp is not a time")


class Delivery(NamedTuple):
    """One webhook of a request body.

    Attributes:
        payload: the element's own bytes, untouched, as text.
        known: whether the action is one that we process.
    """

    lead_id: str
    action: str
    version: str
    payload: str

    @property
    def known(self) -> bool:
        return self.action in ACTIONS

    @property
    def dedup_key(self) -> str:
        return dedup_key(self.lead_id, self.action, self.version)

    @property
    def event_id(self) -> str:
        return event_id_of(self.dedup_key)


class Body(NamedTuple):
    """A request body taken apart.

    Attributes:
        elements: a delivery or the error of each element, in order.
        batch: whether the body was an array.
        timestamp: the message's own time (the body's top level, never a lead's age), or None.
    """

    elements: tuple[Delivery | BodyError, ...]
    batch: bool
    timestamp: datetime | None


def parse_body(raw: bytes, *, default_action: str | None = None, strict_time: bool = True) -> Body:
    """Take a request body apart.

    Args:
        raw: the body's bytes.
        default_action: the request's ``?action=``, for elements that carry none.
        strict_time: whether a malformed timestamp of the message is an error; otherwise it counts as none,
            for callers to whom the message's time proves nothing.

    Raises:
        BodyError: ``json_invalid`` (not JSON, too deep, not an object or array) or
            ``timestamp_malformed``. Errors of a single element of a batch are returned in its place.
    """
    parsed = _load(raw)
    if isinstance(parsed, dict):
        element = _element(parsed, raw, default_action)
        if isinstance(element, BodyError):
            raise element
        return Body((element,), batch=False, timestamp=_message_time(parsed, strict_time=strict_time))
    slices = msgspec.json.decode(raw, type=list[msgspec.Raw])
    elements = tuple(_element(o, bytes(s), default_action) for o, s in zip(parsed, slices, strict=True))
    return Body(elements, batch=True, timestamp=None)


def _load(raw: bytes) -> dict[str, Any] | list[Any]:
    # A cheap bound first: only a body with more than MAX_DEPTH openings can be that deep.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise BodyError("json_invalid", f"the body nests deeper than {MAX_DEPTH} levels")
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # The parser's own words can quote the body, so they are not passed on.
        if _has_endless_time(raw):
            raise BodyError(*_TIME_MALFORMED) from None
        raise BodyError("json_invalid", "the body is not valid JSON") from None
    if not isinstance(parsed, dict | list):
        raise BodyError("json_invalid", "the body must be a JSON object or an array of objects")
    return parsed


def _has_endless_time(raw: bytes) -> bool:
    """Whether the body's timestamp is a number beyond all numbers (``1e400``), which orjson refuses."""
    try:
        parsed = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    time = parsed.get("timestamp") if isinstance(parsed, dict) else None
    return isinstance(time, float) and math.isinf(time)


def _refuse(_constant: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _depth(raw: bytes) -> int:
    """Greatest nesting of brackets outside strings; runs before parsing, on bytes."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _message_time(body: dict[str, Any], *, strict_time: bool) -> datetime | None:
    value = body.get("timestamp")
    if value is None:
        return None
    try:
        return parse(value)
    except ValueError:
        if not strict_time:
            return None
        raise BodyError(*_TIME_MALFORMED) from None


def _element(value: Any, raw: bytes, default_action: str | None) -> Delivery | BodyError:
    try:
        if not isinstance(value, dict):
            raise BodyError("json_invalid", "an element of the batch is not an object")  # noqa: TRY301
        lead = lead_object(value)
        lead_id = _lead_id(value, lead)
        action = _action(value, default_action)
    except BodyError as error:
        return error
    return Delivery(lead_id, action, _version(value, lead, raw), raw.decode())


def lead_object(body: dict[str, Any]) -> dict[str, Any]:
    """The part of a body that is the lead: under ``data``, under ``lead``, or the body itself."""
    for key in ("data", "lead"):
        inner = body.get(key)
        if isinstance(inner, dict):
            return inner
    return body


def _lead_id(body: dict[str, Any], lead: dict[str, Any]) -> str:
    for value in (body.get("lead_id"), lead.get("lead_id"), lead.get("id"), body.get("id")):
        if value is None or value == "":
            continue
        number = isinstance(value, int) and not isinstance(value, bool)
        text = str(value) if number else value
        if not isinstance(text, str) or not is_lead_id(text):
            raise BodyError("lead_id_invalid", "the lead id must be 1-128 letters, digits or ._:@-")
        return text
    raise BodyError("lead_id_missing", "the webhook names no lead (lead_id, id, data.id or lead.id)")


def _action(body: dict[str, Any], default_action: str | None) -> str:
    value = body.get("hook_action") or body.get("action") or default_action or UPDATE
    if not isinstance(value, str) or len(value) > _LONGEST_ACTION or not value.isprintable():
        raise BodyError(
            "action_invalid", f"the action must be a text of at most {_LONGEST_ACTION} characters"
        )
    return value


def _version(body: dict[str, Any], lead: dict[str, Any], raw: bytes) -> str:
    attributes = lead.get("attributes")
    for holder in (attributes, lead, body):
        if not isinstance(holder, dict):
            continue
        for key in _UPDATED_AT_KEYS:
            if key not in holder:
                continue
            try:
                return to_text(parse(holder[key]))
            except ValueError:
                continue
    return version_of_body(raw)
