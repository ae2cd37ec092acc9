"""How a fault happens to a request that is on a real connection."""

import socket
import struct
from contextlib import suppress

from aiohttp import web

from ops.sandbox.api import Answer, Api, Handler
from ops.sandbox.faults import Fault, spoiled
from ops.sandbox.state import State

HUGE_BYTES = 40 * 1024 * 1024
_CHUNK = b"x" * (256 * 1024)
_LEAVE_CHECK_S = 0.05
_HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"


async def inflict(
    fault: Fault, request: web.Request, handler: Handler, state: State, api: Api
) -> web.StreamResponse:
    """Answer a request the way the fault says (see ``ops.sandbox.faults`` for which kinds have effects)."""
    match fault.kind:
        case "error":
            return Answer(fault.status, {"error": "internal_error"}).response()
        case "unauthorized":
            return api.refusal.response()
        case "html":
            return web.Response(text=_HTML, content_type="text/html")
        case "huge":
            return await _huge(request)
        case "timeout" | "reset":
            return await _never_answer(fault, request, state)
        case _:
            return await _handle_badly(fault, request, handler, state)


async def _never_answer(fault: Fault, request: web.Request, state: State) -> web.Response:
    if fault.kind == "timeout":
        await _until_client_leaves(request, state)
    else:
        abort(request)
    return web.Response(status=500)  # reaches nobody


async def _handle_badly(fault: Fault, request: web.Request, handler: Handler, state: State) -> web.Response:
    if fault.kind == "slow":
        await state.pause(fault.seconds)
    answer = await handler(request, state)
    if fault.kind == "lost_reply":
        abort(request)
    elif fault.kind != "slow":
        answer = Answer(answer.status, spoiled(fault.kind, answer.data))
    return answer.response()


def too_many_requests(retry_after_s: int) -> Answer:
    """The answer above the budget."""
    return Answer(429, {"error": "too_many_requests"}, {"Retry-After": str(retry_after_s)})


def abort(request: web.Request) -> None:
    """Break the connection with a TCP reset, as a crashing server does (a plain close would send FIN)."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    with socket.fromfd(connection.fileno(), connection.family, connection.type) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


async def _until_client_leaves(request: web.Request, state: State) -> None:
    # aiohttp tells a handler that its client left only if the runner was made so; looking always works.
    while request.transport is not None and not request.transport.is_closing() and not state.closing.is_set():
        await state.pause(_LEAVE_CHECK_S)


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    with suppress(ConnectionError):  # a client that has read enough leaves: that is the point
        await response.prepare(request)
        await response.write(b'{"data": "')
        for _ in range(HUGE_BYTES // len(_CHUNK)):
            await response.write(_CHUNK)
        await response.write(b'"}')
        await response.write_eof()
    return response
