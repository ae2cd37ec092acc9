"""Webhook bodies in every shape seen in the wild (C2S.md §1), and the seed's signature. All pure."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

import orjson

from ops.sandbox import leads

Shape = Literal["seed", "attributes", "data", "lead", "get"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


def webhook_body(lead_id: str, action: str, shape: Shape, now: datetime) -> bytes:
    """The body of a webhook about a lead that nobody changed.

    Args:
        lead_id: decides the customer; the ``seed`` shape does not carry one.
        action: e.g. ``on_create_lead``; the ``get`` shape has no place for it (it goes into ``?action=``).
        shape: one of ``SHAPES``.
        now: an aware datetime; the body's time of sending and the lead's ``updated_at``.
    """
    return body_of(lead_id, action, shape, now, leads.attributes(lead_id, now, now))


def body_of(lead_id: str, action: str, shape: Shape, now: datetime, attributes: Mapping[str, Any]) -> bytes:
    """The body of a webhook about a lead with these attributes."""
    body: dict[str, Any]
    match shape:
        case "seed":
            body = {"lead_id": lead_id, "action": action, "timestamp": int(now.timestamp())}
        case "attributes":
            body = {"id": lead_id, "hook_action": action, "attributes": attributes}
        case "data":
            data = {"type": "lead", "id": lead_id, "attributes": attributes}
            body = {"hook_action": action, "data": data, "timestamp": leads.spell_time(now)}
        case "lead":
            lead = {"id": lead_id, "internal_id": leads.internal_id(lead_id), "attributes": attributes}
            body = {"hook_action": action, "lead": lead}
        case "get":
            body = {"data": {"id": lead_id, "attributes": attributes}}
    return orjson.dumps(body)


def signature(body: bytes, secret: str) -> str:
    """The value of ``X-C2S-Signature``: hex HMAC-SHA256 of the raw body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
