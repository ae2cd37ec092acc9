"""Every address of the door, its handler and what the document says of it: the one place to add one."""

from collections.abc import Sequence

from ingress import openapi_door as says
from ingress import openapi_operator as operator_says
from ingress.answers import STATUS_PATH
from ingress.console.views import Console
from ingress.docs import Docs
from ingress.health import Health
from ingress.openapi import Route, document
from ingress.operator import OperatorApi
from ingress.trigger import Trigger
from ingress.webhook import WebhookDoor

WEBHOOK_PATH = "/api/v1/webhook/leads"
TRIGGER_PATH = "/api/v1/leads/process"


def routes_of(
    door: WebhookDoor, trigger: Trigger, health: Health, operator: OperatorApi, console: Console
) -> Sequence[Route]:
    """All routes, the document's own among them."""
    routes = [
        Route("POST", WEBHOOK_PATH, door.signed, says.SIGNED, takes_body=True),
        Route("POST", WEBHOOK_PATH + "/{token}", door.with_token, says.WITH_TOKEN, takes_body=True),
        Route("GET", TRIGGER_PATH, trigger.process, says.process("get"), takes_body=True),
        Route("POST", TRIGGER_PATH, trigger.process, says.process("post"), takes_body=True),
        Route("GET", STATUS_PATH, trigger.status, says.STATUS),
        Route("GET", "/health", health.health, says.HEALTH),
        Route("GET", "/ready", health.ready, says.READY),
        Route("GET", "/metrics", health.metrics, says.METRICS),
    ]
    routes += _operator_routes(operator)
    routes += _console_routes(console)
    docs = Docs(lambda: document(routes))
    routes += [
        Route("GET", "/openapi.json", docs.openapi, says.OPENAPI),
        Route("GET", "/docs", docs.page, says.DOCS),
    ]
    return routes


def _operator_routes(operator: OperatorApi) -> Sequence[Route]:
    return [
        Route("GET", "/api/v1/events", operator.events, operator_says.EVENTS),
        Route("GET", "/api/v1/events/{event_id}", operator.event, operator_says.EVENT),
        Route(
            "POST",
            "/api/v1/events/{event_id}/payload",
            operator.payload,
            operator_says.PAYLOAD,
            takes_body=True,
        ),
        Route(
            "POST",
            "/api/v1/events/{event_id}/message",
            operator.message,
            operator_says.MESSAGE,
            takes_body=True,
        ),
        Route("GET", "/api/v1/dead", operator.dead, operator_says.DEAD),
        Route("POST", "/api/v1/discard", operator.discard, operator_says.DISCARD, takes_body=True),
        Route("POST", "/api/v1/replay", operator.replay, operator_says.REPLAY, takes_body=True),
        Route("GET", "/api/v1/stats", operator.stats, operator_says.STATS),
    ]


def _console_routes(console: Console) -> Sequence[Route]:
    """Pages for people: the document leaves them out."""
    pages = {
        "": console.overview,
        "/events": console.events,
        "/events/{event_id}": console.event,
        "/dead": console.dead,
        "/leads": console.leads,
        "/people": console.people,
        "/alerts": console.alerts,
        "/settings": console.effective,
        "/actions": console.actions,
        "/login": console.login_page,
        "/static/{name}": console.static,
    }
    forms = {
        "/login": console.login,
        "/logout": console.logout,
        "/events/search": console.search,
        "/events/{event_id}/reveal": console.reveal,
        "/dead/preview": console.preview,
        "/dead/act": console.act,
    }
    return [
        *(Route("GET", f"/console{path}", handler, None) for path, handler in pages.items()),
        *(
            Route("POST", f"/console{path}", handler, None, takes_body=True)
            for path, handler in forms.items()
        ),
    ]
