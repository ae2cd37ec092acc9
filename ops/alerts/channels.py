"""Telling: Slack-compatible webhook, e-mail, PagerDuty-compatible events. Each try is bounded in time.

The clients are imported where they are used: a projector without channels carries none of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

from ops.alerts.store import Alert, Change
from ops.settings import Settings
from schema.errors import LeadstreamError
from schema.times import to_text

TIMEOUT_S = 10.0
_PAGERDUTY_SEVERITY = {"warning": "warning", "critical": "critical"}
_SMTP_PORT, _SMTPS_PORT = 587, 465

Tell = Callable[[Change], Awaitable[None]]


class NotTold(LeadstreamError):  # noqa: N818 -- a state of the world
    """The other side did not take it; the text names the kind of fault, no address."""


def channels_of(settings: Settings) -> dict[str, Tell]:
    """The configured channels by name."""
    found: dict[str, Tell] = {}
    if slack := settings.alert_slack_url.get_secret_value():
        found["slack"] = lambda change: post(slack, slack_body(change))
    if settings.alert_email_to:
        found["email"] = lambda change: asyncio.to_thread(_mail, settings, change)
    if settings.alert_pagerduty_key.get_secret_value():
        found["pagerduty"] = lambda change: post(
            settings.alert_pagerduty_url, pagerduty_body(settings, change)
        )
    return found


def headline(change: Change) -> str:
    """One line for people."""
    alert = change.alert
    if change.transition == "resolved":
        return f"[resolved] c2s-leadstream: {alert.rule}: {alert.summary}"
    return f"[{alert.severity}] c2s-leadstream: {alert.rule}: {alert.summary}"


def slack_body(change: Change) -> dict[str, Any]:
    """What Slack's incoming webhooks take (and Mattermost's, Discord's /slack, …)."""
    sign = ":white_check_mark:" if change.transition == "resolved" else ":rotating_light:"
    return {"text": f"{sign} {headline(change)}"}


def pagerduty_body(settings: Settings, change: Change) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2; the fingerprint joins trigger and resolve."""
    alert = change.alert
    body: dict[str, Any] = {
        "routing_key": settings.alert_pagerduty_key.get_secret_value(),
        "event_action": "resolve" if change.transition == "resolved" else "trigger",
        "dedup_key": f"c2s-leadstream/{alert.fingerprint}/{alert.id}",
    }
    if change.transition == "opened":
        body["payload"] = {
            "summary": headline(change),
            "source": "c2s-leadstream",
            "severity": _PAGERDUTY_SEVERITY[alert.severity],
            "component": alert.rule,
            "custom_details": _details(alert),
        }
    return body


def email_of(settings: Settings, change: Change) -> EmailMessage:
    """The e-mail."""
    message = EmailMessage()
    message["Subject"] = headline(change)
    message["From"] = settings.alert_email_from
    message["To"] = settings.alert_email_to
    lines = [headline(change), "", *(f"{name}: {value}" for name, value in _details(change.alert).items())]
    message.set_content("\n".join([*lines, "", "What it means and what to do: docs/alerts.md"]))
    return message


def _details(alert: Alert) -> Mapping[str, Any]:
    resolved = {"resolved_at": to_text(alert.resolved_at)} if alert.resolved_at else {}
    return {
        "rule": alert.rule,
        "value": round(alert.value, 3),
        "threshold": alert.threshold,
        "opened_at": to_text(alert.opened_at),
        **resolved,
    }


async def post(url: str, body: Mapping[str, Any]) -> None:
    """Post JSON.

    Raises:
        NotTold: no 2xx came back.
    """
    await _ask("POST", url, json=dict(body))


async def ping(url: str) -> None:
    """Ask a URL (GET) that must answer 2xx; raises as `post`."""
    await _ask("GET", url)


async def _ask(method: str, url: str, **how: Any) -> None:
    import aiohttp  # noqa: PLC0415 -- see the module's text

    fault = ""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.request(method, url, allow_redirects=False, **how) as response,
        ):
            if not response.ok or response.status // 100 == 3:  # noqa: PLR2004 -- a redirect is no yes
                fault = f"HTTP {response.status}"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        fault = type(error).__name__
    if fault:  # raised here: no traceback drags the URL along, which may hold a secret
        raise NotTold(fault)


def _mail(settings: Settings, change: Change) -> None:
    """Send the e-mail; runs in a thread.

    Raises:
        NotTold: the server cannot be reached or refuses.
    """
    import smtplib  # noqa: PLC0415 -- see the module's text
    import ssl  # noqa: PLC0415

    server = urlsplit(settings.smtp_url.get_secret_value())
    host, tls = server.hostname or "localhost", ssl.create_default_context()
    fault = ""
    try:
        if server.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                host, server.port or _SMTPS_PORT, timeout=TIMEOUT_S, context=tls
            )
        else:
            smtp = smtplib.SMTP(host, server.port or _SMTP_PORT, timeout=TIMEOUT_S)
        with smtp:
            if server.scheme != "smtps" and smtp.has_extn("starttls"):
                smtp.starttls(context=tls)
            if server.username:
                smtp.login(unquote(server.username), unquote(server.password or ""))
            smtp.send_message(email_of(settings, change))
    except (OSError, smtplib.SMTPException) as error:
        fault = type(error).__name__
    if fault:
        raise NotTold(fault)
