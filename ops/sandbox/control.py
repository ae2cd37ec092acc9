"""The sandbox's own endpoints, under ``/_sandbox/``: look inside, order faults, make leads, start over.

A body that cannot be read, or has a field nobody knows, is answered 422 with the reason.
"""

from typing import Any, Literal

import aiohttp
import msgspec
from aiohttp import web

from ops.sandbox.api import Answer
from ops.sandbox.c2s import MISSING
from ops.sandbox.deliver import Delivery, deliver
from ops.sandbox.faults import Fault, Kind
from ops.sandbox.state import APIS, CALLS, Lead, State
from ops.sandbox.webhooks import Shape
from schema.identity import CLOSE, is_lead_id

STATE = web.AppKey("state", State)
SESSION = web.AppKey("session", aiohttp.ClientSession)
COUNT_MOST = 100_000

Action = Literal["on_create_lead", "on_update_lead", "on_close_lead"]


class FaultOrder(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /_sandbox/faults``: one fault, or ``clear``; see `ops.sandbox.faults.Fault`."""

    target: str = ""
    kind: Kind | None = None
    status: int = 500
    times: int | None = None
    probability: float = 1.0
    seconds: float = 5.0
    retry_after: int = 2
    clear: bool = False


class LeadOrder(msgspec.Struct, forbid_unknown_fields=True):
    """One lead to make: its id, and the attributes that shall not be invented."""

    id: str
    attributes: dict[str, Any] = {}


class LeadsOrder(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /_sandbox/leads``: these leads and ``count`` invented ones (see `deliver.Delivery`)."""

    count: int = 0
    prefix: str = "lead-"
    leads: list[LeadOrder] = []
    deliver: bool = False
    action: Action = "on_create_lead"
    shape: Shape = "data"
    drop: float = 0.0
    rate: float = 0.0
    url: str = ""


class UpdateOrder(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /_sandbox/leads/{id}``: attributes that change; closing archives the lead by itself."""

    attributes: dict[str, Any] = {}
    deliver: bool = False
    action: Action = "on_update_lead"
    shape: Shape = "data"
    url: str = ""


async def show_state(request: web.Request) -> web.Response:
    """Messages received, calls answered, calls throttled, webhooks sent, and the subscription."""
    return Answer(200, request.app[STATE].snapshot()).response()


async def order_faults(request: web.Request) -> web.Response:
    """Add a fault, or cancel all; answers with the faults now on order."""
    order = msgspec.json.decode(await request.read(), type=FaultOrder)
    book = request.app[STATE].faults
    if order.clear:
        book.clear()
    if order.kind is not None or order.target:
        book.add(_fault_of(order))
    elif not order.clear:
        raise ValueError("a fault needs a target and a kind")
    return Answer(200, {"faults": msgspec.to_builtins(book.faults)}).response()


async def make_leads(request: web.Request) -> web.Response:
    """Make leads and, if asked, send their webhooks before answering."""
    order = msgspec.json.decode(await request.read(), type=LeadsOrder)
    if not 0 <= order.count <= COUNT_MOST or not 0 <= order.drop <= 1 or order.rate < 0:
        raise ValueError(f"count must be 0 to {COUNT_MOST}, drop 0 to 1, rate 0 or more")
    state = request.app[STATE]
    for one in order.leads:
        _checked(one.id)
    _checked(order.prefix + "0")
    made = [state.create_lead(one.id, one.attributes) for one in order.leads]
    made += [state.create_lead(state.new_lead_id(order.prefix), {}) for _ in range(order.count)]
    delivery = Delivery(order.action, order.shape, order.drop, order.rate, order.url)
    deliveries = await deliver(request.app[SESSION], state, made, delivery) if order.deliver else []
    return Answer(201, {"ids": [lead.id for lead in made], "deliveries": deliveries}).response()


async def change_lead(request: web.Request) -> web.Response:
    """Change a lead (made now if nobody saw it before), which bumps its ``updated_at``."""
    order = msgspec.json.decode(await request.read() or b"{}", type=UpdateOrder)
    state = request.app[STATE]
    lead = state.update_lead(_checked(request.match_info["lead_id"]), _closing(order) | order.attributes)
    delivery = Delivery(order.action, order.shape, url=order.url)
    deliveries = await deliver(request.app[SESSION], state, [lead], delivery) if order.deliver else []
    return Answer(200, _shown(lead) | {"deliveries": deliveries}).response()


async def reset(request: web.Request) -> web.Response:
    """Forget everything."""
    request.app[STATE].reset()
    return Answer(200, {"status": "ok"}).response()


@web.middleware
async def say_what_is_wrong(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn a wrong control request into a 422 with the reason; the outside APIs answer for themselves."""
    try:
        answered: web.StreamResponse = await handler(request)
    except (ValueError, msgspec.DecodeError) as problem:
        if not request.path.startswith("/_sandbox/"):
            raise
        return Answer(422, {"error": str(problem)}).response()
    return answered


def _fault_of(order: FaultOrder) -> Fault:
    if order.target not in (*CALLS, *APIS):
        raise ValueError(f"target must be one of {', '.join((*APIS, *CALLS))}")
    if order.kind is None:
        raise ValueError("a fault needs a kind")
    if not 0 <= order.probability <= 1 or (order.times is not None and order.times < 1):
        raise ValueError("probability must be 0 to 1, times 1 or more")
    return Fault(
        order.target,
        order.kind,
        order.status,
        order.times,
        order.probability,
        order.seconds,
        order.retry_after,
    )


def _checked(lead_id: str) -> str:
    if not is_lead_id(lead_id) or lead_id.startswith(MISSING):
        raise ValueError("a lead id is 1-128 of A-Z a-z 0-9 . _ : @ - and does not begin with missing-")
    return lead_id


def _closing(order: UpdateOrder) -> dict[str, Any]:
    if order.action != CLOSE:
        return {}
    return {"archive_details": {"archived": True, "archive_notes": "Encerrado"}}


def _shown(lead: Lead) -> dict[str, Any]:
    return {"id": lead.id, "attributes": lead.attributes()}


ROUTES = (
    web.get("/_sandbox/state", show_state),
    web.post("/_sandbox/faults", order_faults),
    web.post("/_sandbox/leads", make_leads),
    web.post("/_sandbox/leads/{lead_id}", change_lead),
    web.post("/_sandbox/reset", reset),
)
