"""What the document says of the operator API."""

from typing import Any

from ingress import operator_asked as asked
from ingress.openapi import Operation, path, problems, query, ref, success
from ingress.openapi_operator_schemas import SINCE
from schema.identity import ACTIONS

_KEYS: list[dict[str, list[str]]] = [{"admin_bearer": []}]
_CODES: dict[int, list[str]] = {
    401: ["admin_token_missing", "admin_token_invalid"],
    404: ["not_found"],
    422: ["query_invalid"],
    429: ["rate_limited"],
    503: ["unavailable"],
}
_BODY_CODES: dict[int, list[str]] = {
    400: ["body_unreadable", "bad_request"],
    408: ["body_timeout"],
    413: ["body_too_large"],
    415: ["encoding_unsupported"],
    417: ["expectation_failed"],
    503: ["unavailable", "overloaded"],
}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": asked.MOST_ROWS, "default": asked.ROWS}


def _operation(name: str, summary: str, answer: str, **more: Any) -> Operation:
    codes = _CODES | more.pop("codes", {})
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["operator"],
        "security": _KEYS,
        "responses": {"200": success("As asked", ref(answer)), **problems(codes)},
        **more,
    }


def _body(name: str, example: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": ref(name), "examples": {"one": {"value": example}}}
    return {"required": True, "content": {"application/json": content}}


def _after(pattern: str) -> dict[str, Any]:
    return query("after", "`next` of the page before", {"type": "string", "pattern": f"^{pattern}$"})


_EVENT = [path("event_id", "the event", ref("EventId"))]
_NO_EVENT = {404: ["event_unknown", "not_found"]}
_LEAD = query("lead", "only this lead's", ref("LeadId"))
_LISTED_SINCE = query("since", "only since: an age (30m, 2h, 7d) or a time", SINCE)
_LISTED_UNTIL = query("until", "only received before: an age or a time", SINCE)
_ACT = _BODY_CODES | {422: ["body_invalid", "query_invalid", "selection_missing"]}

EVENTS = _operation(
    "listEvents",
    "Events, the newest first",
    "Events",
    parameters=[
        _LEAD,
        query("status", "only those in this status", {"enum": list(asked.STATUSES)}),
        query("action", "only this action", {"enum": sorted(ACTIONS)}),
        _LISTED_SINCE,
        _LISTED_UNTIL,
        query("limit", "rows of a page", _LIMIT),
        _after(asked.EVENT_CURSOR),
    ],
)
EVENT = _operation(
    "tellEvent",
    "An event's whole story: receipt, attempts, errors, times; neither its payload nor its message",
    "Story",
    parameters=_EVENT,
    codes=_NO_EVENT,
)
PAYLOAD = _operation(
    "revealPayload",
    "An event's raw body in clear: personal data, so it is noted who saw it and why",
    "Payload",
    parameters=_EVENT,
    requestBody=_body("Reason", {"reason": "the customer asked what we got"}),
    codes=_BODY_CODES | _NO_EVENT | {422: ["body_invalid"]},
)
MESSAGE = _operation(
    "revealMessage",
    "The message that an event sent or prepared, in clear: personal data, so it is noted like a payload",
    "Message",
    description="404 too where the event has no message.",
    parameters=_EVENT,
    requestBody=_body("Reason", {"reason": "the broker asked what we wrote"}),
    codes=_BODY_CODES | _NO_EVENT | {422: ["body_invalid"]},
)
DEAD = _operation(
    "listDeadLetters",
    "What was given up, the oldest first",
    "DeadLetters",
    parameters=[
        _LEAD,
        query("event_id", "only this event's", ref("EventId")),
        query("code", "only this error", {"type": "string", "pattern": f"^{asked.CODE}$"}),
        _LISTED_SINCE,
        query("limit", "rows of a page", _LIMIT),
        _after(asked.LETTER_CURSOR),
    ],
)
REPLAY = _operation(
    "replayDeadLetters",
    "Put dead letters back to work, at most a thousand at once; none is messaged twice",
    "Acted",
    description="With `preview` nothing is done: the answer says how many they are and what they would take.",
    requestBody=_body("LettersOrder", {"code": "c2s_timeout", "since": "2h", "reason": "C2S is back"}),
    codes=_ACT,
)
DISCARD = _operation(
    "discardDeadLetters",
    "Take dead letters away for good; their events stay `failed` in the record",
    "Acted",
    description="With `preview` nothing is done.",
    requestBody=_body("LettersOrder", {"code": "lead_gone", "reason": "deleted at C2S", "preview": True}),
    codes=_ACT,
)
STATS = _operation(
    "statistics",
    "The operator's daily questions, as `c2s stats --json` answers them",
    "Statistics",
    parameters=[query("since", "received since: an age or a time; 24h where absent", SINCE)],
)
