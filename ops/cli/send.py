"""`c2s send`: sign and post one webhook, as C2S would."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
from yarl import URL

from ops.sandbox.webhooks import Shape, signature, webhook_body
from schema.errors import LeadstreamError, StorageUnavailable

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_OK = 200


class RefusedError(LeadstreamError):
    """The door did not take the webhook."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One webhook to send; the customer in it is invented from the lead id.

    Attributes:
        secret: signs it; empty sends it unsigned.
    """

    url: str
    secret: str
    lead_id: str
    action: str
    shape: Shape


def send(sending: Sending) -> dict[str, Any]:
    """Send it; the door's answer.

    Raises:
        StorageUnavailable: nothing answers there.
        RefusedError: the answer is not 200; the text holds its code.
    """
    return asyncio.run(_send(sending))


async def _send(sending: Sending) -> dict[str, Any]:
    body = webhook_body(sending.lead_id, sending.action, sending.shape, datetime.now(UTC))
    headers = {"Content-Type": "application/json"}
    if sending.secret:
        headers["X-C2S-Signature"] = signature(body, sending.secret)
    url = URL(sending.url)
    if sending.shape == "get":  # this shape has no other place for its action
        url = url.update_query(action=sending.action)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            answer = _object(await response.read())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise StorageUnavailable(
            f"no ingress answers at {url.host}:{url.port} ({type(error).__name__}); is `c2s up` running?"
        ) from None
    if response.status != _OK:
        words = answer.get("detail") or answer.get("title") or "no reason given"
        raise RefusedError(f"refused with {response.status} {answer.get('code', '')}: {words}")
    return answer


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
