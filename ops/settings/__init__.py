"""Settings: typed, from the environment, checked together at start; a wrong one names itself.

Every setting ``X`` may also come as ``X_FILE``, the path of a file that holds it (one trailing
newline is dropped): the way secrets are mounted. The README's table is made from these files.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ops.redis_place import place_of
from ops.settings.alerts import Alerts
from ops.settings.breakers import Breakers
from ops.settings.door import Door
from ops.settings.engine import Engine
from ops.settings.forwarding import Forwarding
from ops.settings.kinds import NO_SECRET, rate_burst, rate_interval_s
from ops.settings.logs import Logs
from ops.settings.message import Message
from ops.settings.outside import Outside
from ops.settings.places import Places
from ops.settings.privacy import Privacy
from ops.settings.reconcile import Reconcile
from ops.settings.record import LEAST_KEPT, Record
from ops.settings.subscription import Subscription
from ops.settings.urls import HTTP, wrong_url
from schema.errors import SettingsError

__all__ = ["NO_SECRET", "Role", "Settings", "load_settings", "rate_burst", "rate_interval_s"]

Role = Literal["ingress", "processor", "projector", "cli"]

_URLS: dict[str, Sequence[str]] = {
    "REDIS_URL": (),  # `place_of` knows which
    "DATABASE_URL": ("postgresql", "postgres"),
    **dict.fromkeys(("C2S_BASE_URL", "DIRETRIX_BASE_URL", "WORK_API_BASE_URL"), HTTP),
    **dict.fromkeys(("FORWARD_URL", "NOTIFY_URL", "HEARTBEAT_URL", "HEARTBEAT_CHECK_URL"), HTTP),
    **dict.fromkeys(("ALERT_SLACK_URL", "ALERT_PAGERDUTY_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"), HTTP),
    "SMTP_URL": ("smtp", "smtps"),
}
_NEEDED = ("REDIS_URL", "DATABASE_URL", "C2S_BASE_URL", "DIRETRIX_BASE_URL", "WORK_API_BASE_URL")


# The last base's fields come first in the table.
class Settings(
    Logs,
    Alerts,
    Privacy,
    Record,
    Message,
    Reconcile,
    Subscription,
    Breakers,
    Outside,
    Engine,
    Forwarding,
    Door,
    Places,
):
    """All settings of all services; each reads what it needs."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the library's signature
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands in: it reads the environment itself, with the `_FILE` variants."""
        return (init_settings,)


def load_settings(role: Role, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings a service needs.

    Args:
        role: which service asks; decides which secrets must be there.
        environ: the environment; the process's own by default.

    Raises:
        SettingsError: one line per wrong setting, each naming it.
    """
    values = _with_files(os.environ if environ is None else environ)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        lines = [f"{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    problems = [*_relations(settings), *_missing(settings, role)]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _with_files(environ: Mapping[str, str]) -> dict[str, str]:
    upper = {k.upper(): v for k, v in environ.items()}
    values: dict[str, str] = {}
    for name in Settings.model_fields:
        key = name.upper()
        path = upper.get(f"{key}_FILE")
        if path and key in upper:
            raise SettingsError(f"{key}: both {key} and {key}_FILE are set; keep one")
        if path:
            try:
                values[name] = Path(path).read_text(encoding="utf-8").removesuffix("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{key}_FILE: cannot read the file: {type(error).__name__}") from None
        elif key in upper:
            values[name] = upper[key]
    return values


def _relations(s: Settings) -> list[str]:
    rules = (
        (
            s.lease_ttl_secs > 3 * s.heartbeat_secs,
            "LEASE_TTL_SECS must be more than 3 x HEARTBEAT_SECS",
        ),
        (
            s.reclaim_idle_secs > s.lease_ttl_secs,
            "RECLAIM_IDLE_SECS must be more than LEASE_TTL_SECS",
        ),
        (
            s.backoff_max_secs >= s.backoff_base_secs,
            "BACKOFF_MAX_SECS must be at least BACKOFF_BASE_SECS",
        ),
        (
            s.breaker_open_max_secs >= s.breaker_open_secs,
            "BREAKER_OPEN_MAX_SECS must be at least BREAKER_OPEN_SECS",
        ),
        (
            s.trim_keep == 0 or s.trim_keep >= LEAST_KEPT,
            f"TRIM_KEEP must be 0 or at least {LEAST_KEPT} (lost replies are looked for there)",
        ),
        (
            not s.alert_email_to or bool(s.alert_email_from and s.smtp_url.get_secret_value()),
            "ALERT_EMAIL_TO: needs ALERT_EMAIL_FROM and SMTP_URL as well",
        ),
        ("{id}" in s.c2s_message_path, "C2S_MESSAGE_PATH: must contain {id}"),
    )
    return [text for holds, text in rules if not holds] + [
        f"{name}: {wrong}" for name, schemes in _URLS.items() if (wrong := _wrong(s, name, schemes))
    ]


def _wrong(s: Settings, name: str, schemes: Sequence[str]) -> str:
    value: str | SecretStr = getattr(s, name.lower())
    url = value if isinstance(value, str) else value.get_secret_value()
    if not url and name not in _NEEDED:
        return ""
    wrong = wrong_url(url, schemes)
    if not wrong and name == "REDIS_URL":
        try:
            place_of(url)
        except ValueError as error:
            return str(error)
    return wrong


def _missing(s: Settings, role: Role) -> list[str]:
    problems = []
    if role == "ingress":
        secrets = (s.c2s_webhook_secret, s.c2s_webhook_token)
        if not s.allow_unsigned and not any(x.get_secret_value() for x in secrets):
            problems.append(
                "C2S_WEBHOOK_SECRET: no webhook secret and no C2S_WEBHOOK_TOKEN is set; "
                "set one, or ALLOW_UNSIGNED=true to accept anything"
            )
    if role == "processor":
        needed = {
            "C2S_TOKEN": s.c2s_token.get_secret_value(),
            "DIRETRIX_USER": s.diretrix_user,
            "DIRETRIX_PASS": s.diretrix_pass.get_secret_value(),
            "WORK_API_KEY": s.work_api_key.get_secret_value(),
        }
        problems += [f"{name}: is required by the processor" for name, value in needed.items() if not value]
    return problems
