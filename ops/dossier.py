"""A dossier: all that is held on a person, where it came from and to whom it went; as JSON values or a page.

Read from the record: what has just come and is not recorded yet is told by its number only.
"""

import html
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from ops.persons import Connection, Persons
from ops.postgres import translated
from schema.codec import PayloadCodec
from schema.errors import CodecError

_EVENTS = """
SELECT id::text AS event_id, lead_id, hook_action AS action, source, status, result, received_at,
    processed_at, message_ref, raw_payload, message
FROM webhook_events WHERE lead_id = ANY($1::text[]) ORDER BY received_at, id
"""
_REPEATS = """
SELECT event_id::text AS event_id, received_at, source, payload FROM webhook_duplicates
WHERE event_id = ANY($1::uuid[]) ORDER BY received_at
"""
_PEOPLE = """
SELECT l.lead_id, l.contact_kind, p.cpf AS key, coalesce(p.cpf_sealed, p.cpf) AS cpf, p.name, p.profile,
    p.found_at, p.updated_at
FROM lead_people l JOIN people p ON p.id = l.person_id WHERE l.lead_id = ANY($1::text[])
ORDER BY l.lead_id, p.id
"""
_SPOOLED = (
    "SELECT event_id::text, lead_id, received_at, payload FROM ingress_spool WHERE lead_id = ANY($1::text[])"
)
_SOURCES = {
    "webhook": "C2S, by webhook",
    "trigger": "C2S, asked by the old trigger",
    "reconcile": "C2S, found by reconcile",
    "followup": "C2S, our own follow-up",
    "replay": "C2S, replayed",
}
_FOUND = {"phone": "Diretrix by phone, then the Work API", "email": "Diretrix by e-mail, then the Work API"}


async def dossier(
    conn: Connection, codec: PayloadCodec, subjects: Sequence[UUID], leads: Sequence[str]
) -> dict[str, Any]:
    """All that is held on these leads' person.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    with translated("reading what is held on a person"):
        events = await conn.fetch(_EVENTS, leads)
        repeats = await conn.fetch(_REPEATS, [UUID(row["event_id"]) for row in events])
        people = await conn.fetch(_PEOPLE, leads)
        spooled = await conn.fetch(_SPOOLED, leads)
        persons = await Persons(codec).named(conn, [row["key"] for row in people])
    held: dict[str, dict[str, list[Any]]] = {lead: {"webhooks": [], "people": []} for lead in leads}
    for row in events:
        held[row["lead_id"]]["webhooks"].append(_event(row, codec))
    by_id = {e["event_id"]: e for lead in held.values() for e in lead["webhooks"]}
    for row in repeats:
        text = _opened(codec, row["event_id"], "payload", row["payload"])
        by_id[row["event_id"]]["repeats"].append({"received_at": row["received_at"], "body": _json(text)})
    for row in people:
        person = persons[row["key"]]

        def clear(field: str, row: asyncpg.Record = row, person: Any = person) -> Any:
            try:
                return _json(person.open(field, row[field])) if row[field] else None
            except CodecError as error:
                return f"[{error}]"

        held[row["lead_id"]]["people"].append(
            {
                "came_from": _FOUND.get(row["contact_kind"], row["contact_kind"]),
                "found_at": row["found_at"],
                "last_found_at": row["updated_at"],
                "cpf": str(clear("cpf") or ""),
                "name": clear("name"),
                "profile": clear("profile"),
            }
        )
    waiting = [
        {
            "received_at": r["received_at"],
            "body": _json(_opened(codec, r["event_id"], "payload", r["payload"])),
        }
        for r in spooled
    ]
    return {"subjects": [str(s) for s in subjects], "leads": held, "spooled": waiting}


def _event(row: asyncpg.Record, codec: PayloadCodec) -> dict[str, Any]:
    event_id, raw = row["event_id"], row["raw_payload"]
    body = orjson.loads(raw) if raw else None
    if isinstance(body, str):
        body = _json(_opened(codec, event_id, "payload", body))
    sent = row["message_ref"] is not None
    return {
        "event_id": event_id,
        "action": row["action"],
        "came_from": _SOURCES.get(row["source"], row["source"]),
        "received_at": row["received_at"],
        "processed_at": row["processed_at"],
        "status": row["status"],
        "result": row["result"],
        "went_to": f"C2S, as a message on lead {row['lead_id']} ({row['message_ref']})" if sent else None,
        "message": _opened(codec, event_id, "message", row["message"] or "") or None,
        "body": body,
        "repeats": [],
    }


def _opened(codec: PayloadCodec, event_id: str, field: str, stored: str) -> str:
    try:
        return codec.open(event_id, field, stored)
    except CodecError as error:
        return f"[{error}]"


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def page(found: dict[str, Any]) -> str:
    """The dossier as an HTML page of its own, in Portuguese, for the person who asked."""
    style = "body{font:16px sans-serif;max-width:60em;margin:2em auto}dt{font-weight:bold}"
    return (
        '<!doctype html><html lang="pt-BR"><meta charset="utf-8"><title>Dados pessoais</title>'
        f"<style>{style}</style><h1>Dados pessoais que mantemos</h1>{_block(found)}</html>\n"
    )


def _block(value: Any) -> str:
    if isinstance(value, dict):
        rows = (f"<dt>{html.escape(str(k))}</dt><dd>{_block(v)}</dd>" for k, v in value.items())
        return f"<dl>{''.join(rows)}</dl>"
    if isinstance(value, list):
        return f"<ol>{''.join(f'<li>{_block(v)}</li>' for v in value)}</ol>" if value else "–"
    if isinstance(value, datetime):
        return value.isoformat()
    return "–" if value is None else html.escape(str(value))
