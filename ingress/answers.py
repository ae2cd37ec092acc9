"""What the old trigger and the status of an event answer (C2S.md §5): CPFs masked, no other personal data."""

from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web

from schema.status import FINAL, Status

STATUS_PATH = "/api/v1/leads/status/{event_id}"
DONE = "The lead was processed."
RESULTS = {
    "sent": "The lead was enriched and the message was sent.",
    "no_match": "No CPF was found for the lead's phone or e-mail; no message was sent.",
    "dry_run": "The lead was enriched; no message was sent (DRY_RUN).",
    "unchanged": "The lead has its message already; no other was sent.",
}
_CPF_DIGITS = 11


def mask_cpf(cpf: str) -> str:
    """Only the middle of a CPF of 11 digits, ``***.982.247-**``; nothing of any other text."""
    if len(cpf) != _CPF_DIGITS:
        return "***"
    return f"***.{cpf[3:6]}.{cpf[6:9]}-**"


def good(lead_id: str, result: str, cpfs: Iterable[str]) -> dict[str, Any]:
    """The lead reached its good end; ``cpfs`` clear."""
    masked = [mask_cpf(cpf) for cpf in cpfs]
    return {
        "success": True,
        "message": RESULTS.get(result, DONE),
        "lead_id": lead_id,
        "cpfs_processed": masked,
        "entities_stored": len(masked),
    }


def bad(lead_id: str, error: str) -> dict[str, Any]:
    """It was given up; the text of an error holds no personal data (`schema.errors`)."""
    message = f"The lead could not be processed: {error}" if error else "The lead could not be processed."
    return {"success": False, "message": message, "lead_id": lead_id}


def in_work(lead_id: str, event_id: str) -> dict[str, Any]:
    """The same lead was asked for, or came as a webhook, before and has not reached its end."""
    return {
        "success": True,
        "duplicate_request": True,
        "message": "The lead is already in work.",
        "lead_id": lead_id,
        "event_id": event_id,
        "status_url": status_url(event_id),
    }


def later(lead_id: str, event_id: str, message: str) -> web.Response:
    """202: it was accepted, and its outcome is to be had at the status URL."""
    content = {
        "success": True,
        "message": message,
        "lead_id": lead_id,
        "event_id": event_id,
        "status_url": status_url(event_id),
    }
    return answer(content, status=202, headers={"Location": status_url(event_id)})


def status_of(event_id: str, lead_id: str, status: str) -> dict[str, Any]:
    """What the status of every event starts with."""
    return {"event_id": event_id, "lead_id": lead_id, "status": status, "done": status in FINAL}


def waiting_text(status: str) -> str:
    """Where an event is that has not reached its end."""
    if status == "spooled":
        return "The lead was accepted and waits for the queue to be back."
    return "The lead is in work." if status == Status.PROCESSING else "The lead was accepted and waits."


def status_url(event_id: str) -> str:
    return STATUS_PATH.replace("{event_id}", event_id)


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = orjson.dumps(content)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
