"""Every address of the door, its handler and what the document says of it: the one place to add one."""

from collections.abc import Sequence

from ingress import openapi_door as says
from ingress.answers import STATUS_PATH
from ingress.docs import Docs
from ingress.health import Health
from ingress.openapi import Route, document
from ingress.trigger import Trigger
from ingress.webhook import WebhookDoor

WEBHOOK_PATH = "/api/v1/webhook/leads"
TRIGGER_PATH = "/api/v1/leads/process"


def routes_of(door: WebhookDoor, trigger: Trigger, health: Health) -> Sequence[Route]:
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
    docs = Docs(lambda: document(routes))
    routes += [
        Route("GET", "/openapi.json", docs.openapi, says.OPENAPI),
        Route("GET", "/docs", docs.page, says.DOCS),
    ]
    return routes
