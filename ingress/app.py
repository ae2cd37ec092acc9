"""The door's composition root: settings in, a listening server, everything closed at the end.

It starts and serves with Redis or Postgres away; what it cannot reach it goes on asking for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web
from aiohttp.typedefs import Handler

from ingress.admin import Admin
from ingress.console.views import Console
from ingress.express import ExpressServer, Lane, verdict_on
from ingress.forwarding import LOOK_S, Forwarder
from ingress.health import Health
from ingress.limits import Reading, expect_continue
from ingress.metrics import Metrics, door_metrics
from ingress.operator import OperatorApi
from ingress.problems import Problems, Refusal
from ingress.rates import Buckets, source_limit
from ingress.routes import WEBHOOK_PATH, routes_of
from ingress.server import QuietRunner, QuietServer, Shortcuts
from ingress.settled import Record
from ingress.storing import Storage
from ingress.trigger import Trigger
from ingress.verify import verifier_of
from ingress.waiting import BLOCK_S, Outcomes, OutcomeTail
from ingress.webhook import WebhookDoor
from ops import traces
from ops.append import Appender
from ops.audit import Audit
from ops.durable import durability_of
from ops.forwards import Forwards
from ops.metrics import new_registry, served
from ops.operating import Operating
from ops.postgres import create_pool
from ops.redis import Client, blocking_client, command_client
from ops.rotation import PreviousSecret
from ops.seal import codec_of
from ops.settings import Settings
from ops.spool import Spool
from ops.together import end_all
from schema.codec import PayloadCodec
from schema.keys import Keys

log = structlog.get_logger()

_POOL_MAX = 4
_OPERATOR_POOL_MAX = 2
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Deps:
    """What the routes are made of."""

    settings: Settings
    door: WebhookDoor
    trigger: Trigger
    health: Health
    metrics: Metrics
    storage: Storage
    outcomes: Outcomes
    forwarder: Forwarder | None
    operator: OperatorApi
    console: Console


def build_app(deps: Deps) -> tuple[web.Application, Shortcuts]:
    """The application: routes and middlewares; and the way around its router for the busiest address."""
    most = deps.settings.max_body_bytes
    problems = Problems(deps.metrics.refusals)
    middlewares = [problems.middleware()]
    if deps.settings.source_rate_limit:
        middlewares.append(source_limit(deps.settings.source_rate_limit, deps.settings.source_header))
    app = web.Application(middlewares=middlewares, client_max_size=most)
    busiest: Handler = partial(_signed, deps.door)
    for middleware in reversed(middlewares):
        busiest = partial(middleware, handler=busiest)

    async def expect(request: web.Request) -> web.Response | None:
        # Runs before, and so outside, the middleware.
        try:
            await expect_continue(request, most)
        except Refusal as refusal:
            return problems.refuse(request, refusal)
        return None

    for route in routes_of(deps.door, deps.trigger, deps.health, deps.operator, deps.console):
        if route.method == "GET" and not route.takes_body:
            app.router.add_get(route.path, route.handler)  # and HEAD, which monitors like
        else:
            app.router.add_route(route.method, route.path, route.handler, expect_handler=expect)
    return app, {("POST", WEBHOOK_PATH): busiest}


async def _signed(door: WebhookDoor, request: web.Request) -> web.Response:
    """A signed webhook that the express lane did not take, or turned away."""
    verdict = verdict_on(request)
    if verdict is not None:
        raise verdict
    return await door.signed(request)


def server_of(deps: Deps) -> Callable[..., QuietServer]:
    """What makes connections: with an express lane, where nothing is asked for that needs aiohttp's way."""
    if traces.on() or deps.settings.source_rate_limit:
        return QuietServer
    return partial(ExpressServer, Lane(deps.door, WEBHOOK_PATH, deps.settings.max_body_bytes))


@asynccontextmanager
async def open_deps(settings: Settings, now: Callable[[], datetime]) -> AsyncIterator[Deps]:
    """Clients, storage and handlers; all closed at the end.

    Raises:
        SettingsError: a secret is malformed.
    """
    verifier = verifier_of(settings)
    async with AsyncExitStack() as stack:
        url = settings.redis_url.get_secret_value()
        commands = command_client(url)
        stack.push_async_callback(commands.aclose)
        pool = await create_pool(
            settings, min_size=0, max_size=_POOL_MAX, application_name=f"c2s-ingress-{settings.instance}"
        )
        stack.push_async_callback(pool.close)
        registry = new_registry()
        metrics = door_metrics(registry)
        spool = Spool(pool)
        appender = Appender(
            commands,
            partitions=settings.stream_partitions,
            other=settings.stream_partitions_other,
            dedup_ttl_s=settings.dedup_ttl_secs,
            instance=settings.instance,
            durability=await durability_of(settings, commands),
        )
        codec = codec_of(settings)
        storage = Storage(appender, spool, metrics, codec, settings.max_in_flight_appends)
        outcomes = Outcomes(settings.stream_partitions, _tails(stack, url, commands))
        stack.push_async_callback(outcomes.close)
        leads = Buckets(settings.lead_rate_limit)
        forwarder = await _forwarder(stack, settings, Forwards(pool), codec, metrics)
        operator, console = await _operator(stack, settings, commands, codec)
        yield Deps(
            settings=settings,
            door=WebhookDoor(
                _reading(settings),
                verifier,
                storage,
                metrics,
                now,
                leads,
                forwarder is not None,
                PreviousSecret(commands).used,
            ),
            trigger=Trigger(
                settings,
                storage,
                outcomes,
                Record(pool, codec),
                codec,
                now,
                Buckets(settings.lead_rate_limit),
            ),
            health=Health(
                storage, commands, spool, registry, time.monotonic, not settings.ingress_reuse_port
            ),
            metrics=metrics,
            storage=storage,
            outcomes=outcomes,
            forwarder=forwarder,
            operator=operator,
            console=console,
        )


async def _forwarder(
    stack: AsyncExitStack, settings: Settings, store: Forwards, codec: PayloadCodec, metrics: Metrics
) -> Forwarder | None:
    """The forwarder with its clients, or None without ``FORWARD_URL``."""
    if not settings.forward_url.get_secret_value():
        return None
    url, partitions = settings.redis_url.get_secret_value(), settings.partitions.served
    reader = blocking_client(url, block_s=LOOK_S, at_once=partitions)
    stack.push_async_callback(reader.aclose)
    timeout = ClientTimeout(total=settings.forward_timeout_secs)
    session = ClientSession(timeout=timeout, auto_decompress=False, cookie_jar=DummyCookieJar())
    await stack.enter_async_context(session)
    return Forwarder(settings, reader, store, session, codec, metrics, time.monotonic)


async def _operator(
    stack: AsyncExitStack, settings: Settings, commands: Client, codec: PayloadCodec
) -> tuple[OperatorApi, Console]:
    """The operator's side, with a pool of its own: what operators ask must not hold up the spool."""
    pool = await create_pool(
        settings,
        min_size=0,
        max_size=_OPERATOR_POOL_MAX,
        application_name=f"c2s-operator-{settings.instance}",
    )
    stack.push_async_callback(pool.close)
    operating = Operating(settings, pool, commands, codec, Audit(pool))
    common = (settings, Admin(settings), _reading(settings), operating)
    return OperatorApi(*common), Console(*common)


def _reading(settings: Settings) -> Reading:
    return Reading(settings.max_body_bytes, settings.read_timeout_secs, settings.max_reading_bytes)


def _tails(stack: AsyncExitStack, url: str, commands: Client) -> Callable[[Keys], OutcomeTail]:
    def open_tail(keys: Keys) -> OutcomeTail:
        reader = blocking_client(url, block_s=BLOCK_S)
        stack.push_async_callback(reader.aclose)
        return OutcomeTail(keys, commands, reader)

    return open_tail


@asynccontextmanager
async def running(
    settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[int]:
    """The listening door; the value is its port. At the end requests in flight are finished."""
    metrics_port = settings.metrics_port if settings.ingress_reuse_port else 0
    async with open_deps(settings, now) as deps:
        with served(deps.health.registry, metrics_port):
            async with _listening(deps) as port:
                yield port


@asynccontextmanager
async def _listening(deps: Deps) -> AsyncIterator[int]:
    settings = deps.settings
    await deps.storage.check()
    background = [asyncio.create_task(deps.storage.run())]
    if deps.forwarder is not None:
        background.append(asyncio.create_task(deps.forwarder.run()))
    runner = QuietRunner(*build_app(deps), settings, server_of(deps))
    try:
        await runner.setup()
        site = web.TCPSite(
            runner,
            settings.host,
            settings.port,
            backlog=_BACKLOG,
            reuse_port=settings.ingress_reuse_port or None,
        )
        await site.start()
        yield runner.addresses[0][1]
    finally:
        for listener in list(runner.sites):
            await listener.stop()
        # Whoever waits for an outcome is told now that it comes later.
        await deps.outcomes.close()
        await runner.cleanup()
        if deps.forwarder is not None:
            await deps.forwarder.finish(settings.shutdown_deadline_secs)
        await end_all(background)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop``."""
    async with running(settings) as port:
        log.info("ingress.listening", host=settings.host, port=port)
        await stop.wait()
