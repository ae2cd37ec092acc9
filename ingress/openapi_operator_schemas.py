"""The shapes of the operator API."""

from typing import Any

from ingress import operator_asked as asked
from ops.ages import AGE
from ops.statistics import Statistics

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}
_MAYBE_TIME = {"type": ["string", "null"], "format": "date-time"}
_EVENT_ID = {"$ref": "#/components/schemas/EventId"}
_LEAD_ID = {"$ref": "#/components/schemas/LeadId"}
_REASON = {
    "type": "string",
    "minLength": 3,
    "maxLength": 300,
    "description": "why; kept, so no personal data",
}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _rows(description: str) -> dict[str, Any]:
    return {"type": "array", "description": description, "items": {"type": "object"}}


# An age or a time, as everywhere.
SINCE = {"anyOf": [{"type": "string", "pattern": f"^{AGE}$"}, {"type": "string", "format": "date-time"}]}
_STATUS = {"enum": list(asked.STATUSES)}
_LISTED = {
    "event_id": _EVENT_ID,
    "lead_id": _LEAD_ID,
    "hook_action": _TEXT,
    "status": _STATUS,
    "result": _MAYBE_TEXT,
    "received_at": _TIME,
    "processed_at": _MAYBE_TIME,
    "seconds": {"type": ["number", "null"]},
    "retry_count": _COUNT,
    "duplicate_count": _COUNT,
    "error_message": _MAYBE_TEXT,
}
_LETTER = {
    "event_id": _EVENT_ID,
    "lead_id": _LEAD_ID,
    "action": _TEXT,
    "at": _TIME,
    "attempts": _COUNT,
    "step": _TEXT,
    "code": _TEXT,
    "api": _TEXT,
    "error": _TEXT,
}

OPERATOR_SCHEMAS: dict[str, dict[str, Any]] = {
    "Reason": _object({"reason": _REASON}),
    "Payload": _object({"event_id": _EVENT_ID, "payload": _TEXT}),
    "Message": _object({"event_id": _EVENT_ID, "message": _TEXT}),
    "Events": _object({"events": {"type": "array", "items": _object(_LISTED)}, "next": _MAYBE_TEXT}),
    "Story": _object(
        {
            "event_id": _EVENT_ID,
            "row": {"type": ["object", "null"], "description": "its row in webhook_events, once it has one"},
            "facts": {
                "type": "array",
                "description": "what happened, in order",
                "items": {"type": "object", "properties": {"type": _TEXT}, "required": ["type", "recorded"]},
            },
            "steps": {"type": "array", "items": _TEXT, "description": "finished so far, until it has an end"},
            "message": _MAYBE_TEXT | {"description": "hidden; null where there is none"},
            "notes": {
                "type": "array",
                "items": _TEXT,
                "description": "what stood in the way of knowing more",
            },
        }
    ),
    "DeadLetter": _object(_LETTER),
    "DeadLetters": _object(
        {
            "letters": {"type": "array", "items": {"$ref": "#/components/schemas/DeadLetter"}},
            "next": _MAYBE_TEXT,
        }
    ),
    "LettersOrder": _object(
        {"reason": _REASON},
        {
            "event_id": _EVENT_ID,
            "lead_id": _LEAD_ID,
            "code": {"type": "string", "pattern": f"^{asked.CODE}$"},
            "since": SINCE,
            "all": {"type": "boolean", "description": "where nothing else narrows it down"},
            "preview": {"type": "boolean", "description": "only say what it would take"},
        },
    )
    | {
        "anyOf": [
            *({"required": [name]} for name in ("event_id", "lead_id", "code", "since")),
            {"required": ["all"], "properties": {"all": {"const": True}}},
        ]
    },
    "Acted": _object(
        {
            "done": _COUNT,
            "letters": _COUNT,
            "left": {"type": "boolean", "description": "there are more: ask again"},
            "calls_least": _COUNT,
            "calls_most": _COUNT,
            "seconds_most": {"type": "number", "minimum": 0},
        }
    ),
    "Statistics": _object({name: _rows(f"see `c2s stats`: {name}") for name in Statistics.__annotations__}),
}
