"""The shapes that the OpenAPI document names, as JSON Schema (2020-12).

Of a webhook's body only what is enforced is said: everything else is kept as it came, whatever it is.
"""

from typing import Any

from ingress.openapi_operator_schemas import OPERATOR_SCHEMAS

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_EVENT_ID = {"$ref": "#/components/schemas/EventId"}
_LEAD_ID = {"$ref": "#/components/schemas/LeadId"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


_TAKEN = ["accepted", "duplicate", "spooled", "ignored"]

SCHEMAS: dict[str, dict[str, Any]] = {
    "LeadId": {
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$",
        "examples": ["lead-123"],
    },
    "EventId": {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "description": "UUIDv5 of what makes the webhook the same as another.",
        "examples": ["0f8fad5b-d9cb-569f-a165-70867728950e"],
    },
    "Webhook": {
        "type": "object",
        "description": (
            "One webhook, in any shape that C2S sends. It must name a lead: in `lead_id`, or in `lead_id` or"
            " `id` of `data`, of `lead`, or of the body itself (text, or a whole number)."
            " The action is `hook_action` or `action`, else the query's, else `on_update_lead`."
            " Times are epoch seconds or milliseconds, ISO-8601, or `2025-01-21 10:30:00.000 -0300`."
        ),
        "additionalProperties": True,
    },
    "Taken": _object(
        {"status": {"enum": _TAKEN}, "event_id": _EVENT_ID, "lead_id": _LEAD_ID},
        description="`duplicate` carries the event first accepted; `spooled` is stored and queued later.",
    ),
    "NotTaken": _object(
        {"status": {"enum": ["refused", "rate_limited"]}, "code": _TEXT, "detail": _TEXT},
        {"lead_id": _LEAD_ID, "retry_after": {"type": "integer", "minimum": 1, "description": "seconds"}},
        description="An element of a batch that was not stored. The others are.",
    ),
    "Batch": _object(
        {
            "status": {"const": "accepted"},
            "received": _COUNT,
            "accepted": _COUNT,
            "duplicates": _COUNT,
            "spooled": _COUNT,
            "ignored": _COUNT,
            "refused": _COUNT,
            "rate_limited": _COUNT,
            "events": {
                "type": "array",
                "items": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/Taken"},
                        {"$ref": "#/components/schemas/NotTaken"},
                    ]
                },
            },
        },
        description="What became of each element of an array, in its order.",
    ),
    "Processed": _object(
        {
            "success": {"const": True},
            "message": _TEXT,
            "lead_id": _LEAD_ID,
            "cpfs_processed": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^\*\*\*(\.[0-9]{3}\.[0-9]{3}-\*\*)?$"},
                "description": "masked",
            },
            "entities_stored": _COUNT,
        },
    ),
    "NotProcessed": _object({"success": {"const": False}, "message": _TEXT, "lead_id": _LEAD_ID}),
    "InWork": _object(
        {
            "success": {"const": True},
            "duplicate_request": {"const": True},
            "message": _TEXT,
            "lead_id": _LEAD_ID,
            "event_id": _EVENT_ID,
            "status_url": _TEXT,
        },
    ),
    "Later": _object(
        {
            "success": {"const": True},
            "message": _TEXT,
            "lead_id": _LEAD_ID,
            "event_id": _EVENT_ID,
            "status_url": _TEXT,
        },
    ),
    "Status": _object(
        {
            "event_id": _EVENT_ID,
            "lead_id": _LEAD_ID,
            "status": {"enum": ["received", "processing", "success", "failed", "spooled"]},
            "done": {"type": "boolean"},
            "failed_attempts": _COUNT,
            "message": _TEXT,
        },
        {
            "success": {"type": "boolean", "description": "once it is done"},
            "cpfs_processed": {"type": "array", "items": _TEXT, "description": "masked"},
            "entities_stored": _COUNT,
        },
    ),
    "Health": _object({"status": {"const": "ok"}}),
    "Ready": _object({"status": {"const": "ready"}, "store": {"enum": ["stream", "spool"]}}),
    "Problem": {
        "type": "object",
        "description": "RFC 9457, with a stable `code`. It never quotes what was sent.",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
            "detail": _TEXT,
        },
        "required": ["type", "title", "status", "code", "detail"],
    },
    **OPERATOR_SCHEMAS,
}

SECURITY: dict[str, dict[str, Any]] = {
    "admin_bearer": {"type": "http", "scheme": "bearer", "description": "ADMIN_TOKEN."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-C2S-Signature",
        "description": "Hex HMAC-SHA256 of the raw body with C2S_WEBHOOK_SECRET; `sha256=` may precede it.",
    },
    "standard": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks, with `webhook-id` and `webhook-timestamp`.",
    },
    "trigger_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "TRIGGER_API_KEY.",
    },
    "trigger_bearer": {"type": "http", "scheme": "bearer", "description": "TRIGGER_API_KEY."},
    "trigger_query": {
        "type": "apiKey",
        "in": "query",
        "name": "key",
        "description": "TRIGGER_API_KEY, for callers that can set no header.",
    },
}
