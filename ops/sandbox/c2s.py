"""Contact2Sale, as far as integrators know it (C2S.md §1)."""

import hmac
from datetime import datetime
from typing import Any

from aiohttp import web

from ops.sandbox.api import Answer, Api, Route, json_object
from ops.sandbox.config import SandboxConfig
from ops.sandbox.state import Lead, State, Subscription
from schema import times
from schema.identity import ACTIONS, is_lead_id

MISSING = "missing-"  # ids that begin so were never leads
_PER_PAGE = 20
_PER_PAGE_MOST = 50
_SORTS = ("created_at", "updated_at")
_NOT_FOUND = Answer(404, {"error": "not_found"})


def unprocessable(problem: str) -> Answer:
    """The answer to a request that makes no sense."""
    return Answer(422, {"error": "unprocessable_entity", "message": problem})


async def get_lead(request: web.Request, state: State) -> Answer:
    """One lead with its customer, log and messages."""
    lead = _lead_of(request, state)
    return Answer(200, {"data": _resource(lead)}) if lead else _NOT_FOUND


async def list_leads(request: web.Request, state: State) -> Answer:
    """A page of the leads that were made, or asked for by id, newest first."""
    query = request.query
    try:
        page, per_page = max(1, int(query.get("page", 1))), int(query.get("perpage", _PER_PAGE))
        created_from, updated_from = _moment(query.get("created_gte")), _moment(query.get("updated_gte"))
    except ValueError:
        return unprocessable("page, perpage, created_gte or updated_gte cannot be read")
    sort = query.get("sort", "-created_at")
    if sort.removeprefix("-") not in _SORTS:
        return unprocessable("unknown sort")
    chosen = [
        lead
        for lead in state.leads.values()
        if (created_from is None or lead.created_at >= created_from)
        and (updated_from is None or lead.updated_at >= updated_from)
    ]
    chosen.sort(
        key=lambda lead: (getattr(lead, sort.removeprefix("-")), lead.id), reverse=sort.startswith("-")
    )
    per_page = min(max(1, per_page), _PER_PAGE_MOST)
    shown = chosen[(page - 1) * per_page : page * per_page]
    meta = {"total": len(chosen), "page": page, "perpage": per_page}
    return Answer(200, {"data": [_resource(lead) for lead in shown], "meta": meta})


async def create_message(request: web.Request, state: State) -> Answer:
    """Leave a message in the lead's log."""
    body = await json_object(request)
    lead = _lead_of(request, state)
    if lead is None:
        return _NOT_FOUND
    text = (body or {}).get("body")
    if not isinstance(text, str) or not text.strip():
        return unprocessable("body is missing")
    message = {"body": text, "at": times.to_text(state.now())}
    lead.messages.append(message)
    return Answer(201, {"data": {"type": "message", "id": str(len(lead.messages)), "attributes": message}})


async def company(_request: web.Request, _state: State) -> Answer:
    """Whose token this is."""
    attributes = {"name": "Imobiliária Exemplo", "email": "contato@example.com"}
    return Answer(200, {"data": {"type": "company", "id": "1", "attributes": attributes}})


async def subscribe(request: web.Request, state: State) -> Answer:
    """Register an action's endpoint; another URL silently replaces the one before, with all its actions."""
    body = await json_object(request) or {}
    url, action = body.get("hook_url") or body.get("url"), body.get("hook_action") or body.get("action")
    if action not in ACTIONS:
        return unprocessable("unknown hook_action")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return unprocessable("hook_url is missing")
    present = state.subscription
    if present is None or present.hook_url != url:
        present = state.subscription = Subscription(url, "", [])
    secret = body.get("secret")
    present.secret = secret if isinstance(secret, str) else present.secret
    if action not in present.actions:
        present.actions.append(action)
    return Answer(201, {"data": {"hook_url": url, "hook_action": action}})


async def unsubscribe(request: web.Request, state: State) -> Answer:
    """Give up one action, or all if none is named (the seed's DELETE has no body)."""
    body = await json_object(request) or {}
    action = body.get("hook_action") or body.get("action")
    if action is not None and action not in ACTIONS:
        return unprocessable("unknown hook_action")
    present = state.subscription
    if present is not None:
        present.actions = [one for one in present.actions if action is not None and one != action]
        if not present.actions:
            state.subscription = None
    return Answer(200, {"status": "ok"})


def authorized(request: web.Request, config: SandboxConfig) -> bool:
    """Whether either spelling of the header carries the token."""
    expected = f"Bearer {config.c2s_token}".encode()
    given = (request.headers.get(name, "") for name in ("Authorization", "Authentication"))
    return any(hmac.compare_digest(value.encode(errors="surrogateescape"), expected) for value in given)


def _lead_of(request: web.Request, state: State) -> Lead | None:
    lead_id = request.match_info["lead_id"]
    if lead_id.startswith(MISSING) or not is_lead_id(lead_id):
        return None
    return state.lead(lead_id)


def _resource(lead: Lead) -> dict[str, Any]:
    return {"type": "lead", "id": lead.id, "attributes": lead.attributes()}


def _moment(text: str | None) -> datetime | None:
    return times.parse(text) if text else None


_LEADS = "/integration/leads"
API = Api(
    name="c2s",
    routes=(
        Route("GET", _LEADS, "c2s.list_leads", list_leads),
        Route("GET", _LEADS + "/{lead_id}", "c2s.get_lead", get_lead),
        Route("POST", _LEADS + "/{lead_id}/create_message", "c2s.create_message", create_message),
        Route("POST", _LEADS + "/{lead_id}/messages", "c2s.create_message", create_message),
        Route("GET", "/integration/company", "c2s.company", company),
        Route("GET", "/integration/me", "c2s.company", company),
        Route("GET", "/me", "c2s.company", company),
        Route("POST", _LEADS + "/subscribe", "c2s.subscribe", subscribe),
        Route("POST", "/integration/api/subscribe", "c2s.subscribe", subscribe),
        Route("DELETE", _LEADS + "/subscribe", "c2s.unsubscribe", unsubscribe),
        Route("DELETE", "/integration/api/subscribe", "c2s.unsubscribe", unsubscribe),
        Route("POST", _LEADS + "/unsubscribe", "c2s.unsubscribe", unsubscribe),
        Route("POST", "/integration/api/unsubscribe", "c2s.unsubscribe", unsubscribe),
    ),
    authorized=authorized,
    refusal=Answer(403, {"error": "not_authorized"}),
    latency_s=lambda config: config.c2s_latency_s,
    limited=True,
)
