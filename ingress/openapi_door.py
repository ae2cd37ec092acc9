"""What the document says of the door's own operations."""

from typing import Any

from ingress.asked import MOST_WAIT_S
from ingress.openapi import Operation, header, path, problems, query, ref, success

_BODY_PROBLEMS = {
    408: ["body_timeout"],
    413: ["body_too_large"],
    415: ["encoding_unsupported"],
    417: ["expectation_failed"],
}
_TRIGGER_KEYS: list[dict[str, list[str]]] = [
    {"trigger_key": []},
    {"trigger_bearer": []},
    {"trigger_query": []},
]
_KEY_CODES = ["api_key_missing", "api_key_invalid"]


def _webhook(operation_id: str, summary: str, **more: Any) -> dict[str, Any]:
    parameters = more.pop("parameters", [])
    codes = more.pop("codes")
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["webhooks"],
        "parameters": [
            query("action", "the action of a body that names none", {"type": "string"}),
            header("traceparent", "W3C trace context; an invalid one is passed over", {"type": "string"}),
            *parameters,
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [ref("Webhook"), {"type": "array", "items": ref("Webhook")}]},
                    "examples": _BODIES,
                }
            },
        },
        "responses": {
            "200": success("Stored, or stored before", {"oneOf": [ref("Taken"), ref("Batch")]}),
            **problems(
                {
                    400: ["json_invalid", "timestamp_malformed", "body_unreadable", "bad_request"],
                    422: ["lead_id_missing", "lead_id_invalid", "action_invalid", "batch_refused"],
                    429: ["rate_limited"],
                    503: ["unavailable", "overloaded"],
                    **_BODY_PROBLEMS,
                    **codes,
                }
            ),
        },
        **more,
    }


_BODIES = {
    "three fields": {"value": {"lead_id": "lead-123", "action": "on_create_lead"}},
    "attributes": {
        "value": {
            "id": "lead-123",
            "hook_action": "on_update_lead",
            "attributes": {"updated_at": "2025-01-21T10:30:00Z", "customer": {"phone": "(11) 98765-4321"}},
        }
    },
    "data": {
        "value": {
            "hook_action": "on_create_lead",
            "data": {"type": "lead", "id": "lead-123", "attributes": {"customer": {"name": "Ana Exemplo"}}},
        }
    },
    "lead": {"value": {"hook_action": "on_close_lead", "lead": {"id": "lead-123", "internal_id": 42}}},
    "no action": {
        "value": {"data": {"id": 123, "attributes": {"updated_at": "2025-01-21 10:30:00.000 -0300"}}}
    },
    "batch": {"value": [{"id": "lead-123"}, {"id": "lead-124", "action": "on_create_lead"}]},
}

SIGNED: Operation = _webhook(
    "takeSignedWebhook",
    "Take a signed webhook, or a batch of them",
    description="Of the raw bytes. The message's time must be within C2S_WEBHOOK_TIMEOUT_SECS of now.",
    security=[{"signature": []}, {"standard": []}],
    parameters=[
        header("X-C2S-Timestamp", "the time of a message whose body has none", {"type": "string"}),
        header("webhook-id", "Standard Webhooks", {"type": "string"}),
        header("webhook-timestamp", "Standard Webhooks: epoch seconds", {"type": "string"}),
    ],
    codes={401: ["signature_missing", "signature_malformed", "signature_invalid", "timestamp_expired"]},
)
WITH_TOKEN: Operation = _webhook(
    "takeWebhookWithToken",
    "Take an unsigned webhook, or a batch of them, at an address that only C2S knows",
    parameters=[path("token", "C2S_WEBHOOK_TOKEN", {"type": "string", "minLength": 1})],
    security=[],
    codes={404: ["not_found"]},
)


def process(method: str) -> Operation:
    """The old trigger; the same by either method."""
    return {
        "operationId": f"processLead{method.title()}",
        "summary": "Process a lead and wait for the outcome",
        "description": (
            "The same event as the lead's create webhook: a lead that came by webhook is not messaged again."
        ),
        "tags": ["trigger"],
        "security": _TRIGGER_KEYS,
        "parameters": [
            query("id", "the lead", ref("LeadId"), required=True),
            query(
                "wait",
                "seconds to wait for the outcome; TRIGGER_WAIT_SECS where absent",
                {"type": "number", "minimum": 0, "maximum": MOST_WAIT_S, "examples": [25]},
            ),
            query(
                "force",
                "process and message again, whatever was before; once a minute at most",
                {"type": "boolean", "default": False},
            ),
        ],
        "responses": {
            "200": success(
                "The outcome, or that the lead is already in work",
                {"oneOf": [ref("Processed"), ref("NotProcessed"), ref("InWork")]},
            ),
            "202": success("Accepted; the outcome comes later", ref("Later"))
            | {
                "headers": {
                    "Location": {"description": "the status", "required": True, "schema": {"type": "string"}}
                },
                "links": {
                    "status": {
                        "operationId": "leadStatus",
                        "parameters": {"event_id": "$response.body#/event_id"},
                    }
                },
            },
            **problems(
                {
                    401: _KEY_CODES,
                    413: _BODY_PROBLEMS[413],
                    415: _BODY_PROBLEMS[415],
                    417: _BODY_PROBLEMS[417],
                    422: ["lead_id_missing", "lead_id_invalid", "wait_invalid", "force_invalid"],
                    429: ["rate_limited"],
                    503: ["unavailable", "overloaded"],
                }
            ),
        },
    }


STATUS: Operation = {
    "operationId": "leadStatus",
    "summary": "Where an event of the trigger is, and once it is done, its outcome",
    "tags": ["trigger"],
    "security": _TRIGGER_KEYS,
    "parameters": [path("event_id", "as the trigger answered it", ref("EventId"))],
    "responses": {
        "200": success("Where it is", ref("Status")),
        **problems({401: _KEY_CODES, 404: ["event_unknown"], 503: ["unavailable"]}),
    },
}
HEALTH: Operation = {
    "operationId": "health",
    "summary": "The process answers",
    "tags": ["operation"],
    "security": [],
    "responses": {"200": success("Alive", ref("Health"))},
}
READY: Operation = {
    "operationId": "ready",
    "summary": "A webhook can be stored somewhere",
    "tags": ["operation"],
    "security": [],
    "responses": {"200": success("Ready", ref("Ready")), **problems({503: ["unavailable"]})},
}
METRICS: Operation = {
    "operationId": "metrics",
    "summary": "Prometheus' text format",
    "tags": ["operation"],
    "security": [],
    "responses": {"200": success("Metrics", {"type": "string"}, "text/plain")},
}
OPENAPI: Operation = {
    "operationId": "openapi",
    "summary": "This document",
    "tags": ["operation"],
    "security": [],
    "responses": {"200": success("OpenAPI 3.1", {"type": "object"})},
}
DOCS: Operation = {
    "operationId": "docs",
    "summary": "This document, for people",
    "tags": ["operation"],
    "security": [],
    "responses": {"200": success("A page that loads nothing", {"type": "string"}, "text/html")},
}
