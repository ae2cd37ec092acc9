"""What a request to the old trigger asks for: who, which lead, how long, and whether once more."""

import hmac
import re
from uuid import UUID

from aiohttp import web

from ingress.problems import AuthError, Refusal
from ops.settings import Settings
from schema.identity import is_lead_id

MOST_WAIT_S = 120
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_EVENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_TRUTHS = {"true": True, "false": False}


def authorise(request: web.Request, settings: Settings) -> None:
    """Refuse whoever does not show the trigger's key.

    Raises:
        AuthError: 401 ``api_key_missing`` or ``api_key_invalid``.
    """
    if settings.allow_open_trigger:
        return
    given = _given_key(request)
    if not given:
        raise AuthError("api_key_missing", "Send the trigger's key as X-API-Key or Bearer token.")
    wanted = settings.trigger_api_key.get_secret_value().encode()
    if not wanted or not hmac.compare_digest(wanted, given.encode("utf-8", "surrogateescape")):
        raise AuthError("api_key_invalid", "That is not the trigger's key.")


def _given_key(request: web.Request) -> str:
    header = request.headers.get("X-API-Key")
    if header:
        return header
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.query.get("key", "")


def lead_id_of(request: web.Request) -> str:
    """``?id=``.

    Raises:
        Refusal: 422 ``lead_id_missing`` or ``lead_id_invalid``.
    """
    lead_id = request.query.get("id", "")
    if not lead_id:
        raise _refused("lead_id_missing", "The query names no lead: ?id=")
    if not is_lead_id(lead_id):
        raise _refused("lead_id_invalid", "The lead id must be 1-128 letters, digits or ._:@-")
    return lead_id


def wait_of(request: web.Request, otherwise_s: float) -> float:
    """``?wait=`` in seconds.

    Raises:
        Refusal: 422 ``wait_invalid``.
    """
    text = request.query.get("wait")
    if text is None:
        return otherwise_s
    if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= MOST_WAIT_S:
        raise _refused("wait_invalid", f"wait must be a number of seconds from 0 to {MOST_WAIT_S}.")
    return float(text)


def force_of(request: web.Request) -> bool:
    """``?force=``.

    Raises:
        Refusal: 422 ``force_invalid``.
    """
    text = request.query.get("force", "false")
    if text not in _TRUTHS:
        raise _refused("force_invalid", "force must be true or false.")
    return _TRUTHS[text]


def event_id_of_path(request: web.Request) -> str:
    """The event id in the address, in its usual form.

    Raises:
        Refusal: 404 ``event_unknown``: no event can have such an id.
    """
    text = request.match_info["event_id"]
    if not _EVENT_ID.fullmatch(text):
        raise unknown_event()
    return str(UUID(text))


def unknown_event() -> Refusal:
    """No event of that id is on record; one that was accepted just now may be a moment from it."""
    detail = "No such event is on record. One that was just accepted may take a moment: try again."
    return Refusal(404, "event_unknown", detail, event="status.unknown", headers={"Retry-After": "1"})


def _refused(code: str, detail: str) -> Refusal:
    return Refusal(422, code, detail, event="trigger.refused")
