"""Sending webhooks the way C2S does: to the one subscribed endpoint, once, with no retry."""

from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from ops.sandbox.state import Lead, State
from ops.sandbox.webhooks import Shape, body_of, signature

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_ANSWER_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Delivery:
    """How webhooks are to be sent.

    Attributes:
        drop: share of the webhooks that get lost on purpose, 0 to 1.
        rate: webhooks a second; 0 sends them as fast as they are answered.
        url: where to, instead of the subscription's or the configured endpoint.
    """

    action: str
    shape: Shape
    drop: float = 0.0
    rate: float = 0.0
    url: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks go and what signs them (nothing if the secret is empty)."""

    url: str
    secret: str


def endpoint_for(state: State, delivery: Delivery) -> Endpoint | None:
    """The endpoint that gets a webhook now; None if nobody wants it."""
    subscribed, config = state.subscription, state.config
    if delivery.url:
        return Endpoint(delivery.url, config.webhook_secret)
    if subscribed is not None:
        secret = subscribed.secret or config.webhook_secret
        return Endpoint(subscribed.hook_url, secret) if delivery.action in subscribed.actions else None
    return Endpoint(config.webhook_url, config.webhook_secret) if config.webhook_url else None


async def deliver(
    session: aiohttp.ClientSession, state: State, leads: list[Lead], delivery: Delivery
) -> list[dict[str, Any]]:
    """Send one webhook for each lead, in order.

    Returns:
        For each lead its id, and ``status`` and ``answer``, or ``dropped``, or ``error``.
    """
    lost = set(state.rng.sample(range(len(leads)), round(len(leads) * delivery.drop)))
    results: list[dict[str, Any]] = []
    for index, lead in enumerate(leads):
        if index in lost:
            results.append({"lead_id": lead.id, "dropped": True})
            continue
        endpoint = endpoint_for(state, delivery)
        if endpoint is None:
            results.append({"lead_id": lead.id, "error": "no endpoint is subscribed for this action"})
            continue
        results.append({"lead_id": lead.id} | await _send(session, state, endpoint, lead, delivery))
        if delivery.rate:
            await state.pause(1 / delivery.rate)
    return results


async def _send(
    session: aiohttp.ClientSession, state: State, endpoint: Endpoint, lead: Lead, delivery: Delivery
) -> dict[str, Any]:
    body = body_of(lead.id, delivery.action, delivery.shape, state.now(), lead.attributes())
    headers = {"Content-Type": "application/json"}
    if endpoint.secret:
        headers["X-C2S-Signature"] = signature(body, endpoint.secret)
    url = URL(endpoint.url)
    if delivery.shape == "get":  # this shape has no other place for its action
        url = url.update_query(action=delivery.action)
    try:
        async with session.post(url, data=body, headers=headers, timeout=_TIMEOUT) as response:
            text = (await response.text(errors="replace"))[:_ANSWER_CHARS]
    except (TimeoutError, aiohttp.ClientError) as failure:
        return {"error": type(failure).__name__}
    state.webhooks_sent += 1
    return {"status": response.status, "answer": text}
