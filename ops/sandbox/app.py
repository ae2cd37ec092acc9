"""The sandbox: C2S, Diretrix and the Work API as one aiohttp application on one port.

The way of a call: credentials, the budget (C2S only), a fault if one is on order, the latency, the
handler. Every call is counted under its name except those answered 429, which count as throttled.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import aiohttp
from aiohttp import web

from ops.sandbox import c2s, control, diretrix, work
from ops.sandbox.api import Answer, Api, Route
from ops.sandbox.config import SandboxConfig
from ops.sandbox.inflict import inflict, too_many_requests
from ops.sandbox.state import State, utc_now

__all__ = ["SandboxConfig", "create_app"]

APIS: tuple[Api, ...] = (c2s.API, diretrix.API, work.API)
_BODY_BYTES_MOST = 64 * 1024 * 1024  # a control request may carry many leads


def create_app(
    config: SandboxConfig,
    *,
    now: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> web.Application:
    """The application; nothing starts until a runner runs it. To be made on the loop that will run it.

    Args:
        config: credentials, budget, latencies.
        now: the time shown in leads and messages, aware.
        monotonic: the clock of the budget, in seconds.

    Raises:
        ValueError: the rate limit cannot be read.
    """
    state = State(config, now=now, monotonic=monotonic)
    app = web.Application(client_max_size=_BODY_BYTES_MOST, middlewares=[control.say_what_is_wrong])
    app[control.STATE] = state
    app.router.add_routes(control.ROUTES)
    for api in APIS:
        for route in api.routes:
            app.router.add_route(route.method, route.path, _answering(api, route, state))
    app.cleanup_ctx.append(_outgoing_session)
    app.on_shutdown.append(_stop_waiting)
    return app


def _answering(
    api: Api, route: Route, state: State
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        if not api.authorized(request, state.config):
            state.calls[route.name] += 1
            return api.refusal.response()
        wait_s = state.budget.admit(state.monotonic()) if api.limited else 0
        if wait_s:
            return _throttle(state, api, too_many_requests(wait_s))
        fault = state.faults.take(route.name)
        if fault is not None and fault.kind == "429":
            return _throttle(state, api, too_many_requests(fault.retry_after))
        state.calls[route.name] += 1
        await state.pause(state.rng.uniform(*api.latency_s(state.config)))
        if fault is not None:
            return await inflict(fault, request, route.handler, state, api)
        return (await route.handler(request, state)).response()

    return answer


def _throttle(state: State, api: Api, refusal: Answer) -> web.Response:
    state.throttled[api.name] += 1
    return refusal.response()


async def _outgoing_session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as session:
        app[control.SESSION] = session
        yield


async def _stop_waiting(app: web.Application) -> None:
    app[control.STATE].closing.set()
