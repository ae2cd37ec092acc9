"""What an outside API is to the sandbox: calls by name, credentials, a latency, and how it refuses."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from aiohttp import web

from ops.sandbox.config import SandboxConfig
from ops.sandbox.state import State

ApiName = Literal["c2s", "diretrix", "work"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what the body says as JSON."""

    status: int
    data: Any
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """The answer as bytes on their way."""
        body = orjson.dumps(self.data)
        return web.Response(
            status=self.status, body=body, content_type="application/json", headers=self.headers or None
        )


Handler = Callable[[web.Request, State], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a call; a call may have several (``name`` is what state and faults call it)."""

    method: str
    path: str
    name: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class Api:
    """One of the three outside APIs.

    Attributes:
        authorized: whether a request carries the right credentials.
        refusal: what it answers otherwise.
        limited: whether the C2S budget applies.
    """

    name: ApiName
    routes: tuple[Route, ...]
    authorized: Callable[[web.Request, SandboxConfig], bool]
    refusal: Answer
    latency_s: Callable[[SandboxConfig], tuple[float, float]]
    limited: bool = False


async def json_object(request: web.Request) -> dict[str, Any] | None:
    """The JSON object in a request's body; None if there is none or it is something else."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
