"""Settings: typed, from the environment, checked together at start; a wrong one names itself.

Every setting ``X`` may also come as ``X_FILE``, the path of a file that holds it (one trailing
newline is dropped): the way secrets are mounted. `docs/settings.md` is generated from this file.
"""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schema.errors import SettingsError

Role = Literal["ingress", "processor", "projector", "cli"]

_RATE = re.compile(r"(\d+)/(second|minute|hour)")
_RATE_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
NO_SECRET = SecretStr("")


def _rate_text(value: Any) -> str:
    text = str(value).strip().lower()
    if text in ("", "0", "off"):
        return ""
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) < 1:
        raise ValueError("must look like 10/minute (second, minute or hour), or 0 for no limit")
    return text


RateText = Annotated[str, BeforeValidator(_rate_text)]


def rate_interval_s(rate: str) -> float:
    """Seconds between two calls of a checked rate text (``10/minute`` -> 6.0); 0.0 for no limit."""
    match = _RATE.fullmatch(rate)
    return _RATE_SECONDS[match[2]] / int(match[1]) if match else 0.0


def _default_instance() -> str:
    return os.environ.get("FLY_MACHINE_ID") or f"{socket.gethostname()}-{os.getpid()}"


class Settings(BaseSettings):
    """All settings of all services; each reads what it needs."""

    model_config = SettingsConfigDict(extra="ignore", case_sensitive=False, hide_input_in_errors=True)

    # Where things are
    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis; also rediss://")
    database_url: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="Postgres"
    )
    host: str = Field("0.0.0.0", description="address the ingress listens on")  # noqa: S104 -- a server
    port: int = Field(8080, ge=0, le=65535, description="port of the ingress; 0 takes a free one")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of /metrics of processor and projector; 0 = none"
    )
    instance: str = Field(
        default_factory=_default_instance,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="name of this process in leases, outcomes and logs",
    )
    stream_partitions: int = Field(1, ge=1, le=1024, description="number of partitions of the streams")

    # The door
    c2s_webhook_secret: SecretStr = Field(NO_SECRET, description="HMAC secret of signed webhooks")
    c2s_webhook_secret_previous: SecretStr = Field(NO_SECRET, description="accepted too, during a rotation")
    c2s_webhook_token: SecretStr = Field(NO_SECRET, description="secret in the URL, for unsigned webhooks")
    c2s_webhook_token_previous: SecretStr = Field(NO_SECRET, description="accepted too, during a rotation")
    c2s_webhook_timeout_secs: int = Field(300, ge=1, description="how far a webhook's timestamp may be off")
    allow_unsigned: bool = Field(default=False, description="accept webhooks that nothing vouches for")
    admin_token: SecretStr = Field(
        NO_SECRET, description="bearer token of the operator API (kept for it; not served yet)"
    )
    max_body_bytes: int = Field(262_144, ge=1024, description="largest webhook body")
    read_timeout_secs: float = Field(10.0, gt=0, description="longest wait for a request body")
    trigger_wait_secs: float = Field(25.0, ge=0, description="how long /api/v1/leads/process waits")
    trigger_api_key: SecretStr = Field(NO_SECRET, description="key of /api/v1/leads/process")
    allow_open_trigger: bool = Field(default=False, description="/api/v1/leads/process without a key")
    dedup_ttl_secs: int = Field(30 * 86_400, ge=60, description="how long Redis remembers a webhook")

    # The engine
    processor_concurrency: int = Field(16, ge=1, le=1000, description="leads in work at once per processor")
    lease_ttl_secs: float = Field(30.0, gt=0, description="life of a lead's lease without renewal")
    heartbeat_secs: float = Field(8.0, gt=0, description="time between renewals of leases in work")
    reclaim_idle_secs: float = Field(
        35.0, gt=0, description="idle time after which XAUTOCLAIM takes an entry"
    )
    block_secs: float = Field(60.0, gt=0, description="longest blocking read on an idle stream")
    max_attempts: int = Field(8, ge=1, description="attempts before an event becomes a dead letter")
    backoff_base_secs: float = Field(2.0, gt=0, description="first retry's greatest delay; doubles each time")
    backoff_max_secs: float = Field(600.0, gt=0, description="greatest delay of a retry")
    steps_ttl_secs: int = Field(7 * 86_400, ge=60, description="how long Redis keeps an event's steps")
    shutdown_deadline_secs: float = Field(25.0, gt=0, description="time to finish work after SIGTERM")
    send_policy: Literal["verify", "at_most_once"] = Field(
        "verify", description="after an ambiguous send: read the lead first, or never send again"
    )
    dry_run: bool = Field(default=False, description="do everything but the POST to C2S")

    # The world outside
    c2s_base_url: str = Field("https://api.contact2sale.com", description="base URL of C2S")
    c2s_token: SecretStr = Field(NO_SECRET, description="the company's C2S token")
    c2s_message_path: str = Field(
        "/integration/leads/{id}/create_message", description="path of the message call (also .../messages)"
    )
    c2s_rate_limit: RateText = Field("10/minute", description="C2S calls for the whole fleet; 0 = no limit")
    diretrix_base_url: str = Field(
        "http://api.diretrixconsultoria.com.br", description="base URL of Diretrix"
    )
    diretrix_user: str = Field("", description="user of Diretrix")
    diretrix_pass: SecretStr = Field(NO_SECRET, description="password of Diretrix")
    diretrix_rate_limit: RateText = Field("60/minute", description="Diretrix calls for the whole fleet")
    work_api_base_url: str = Field("https://completa.workbuscas.com", description="base URL of the Work API")
    work_api_key: SecretStr = Field(NO_SECRET, description="token of the Work API")
    work_api_rate_limit: RateText = Field("20/minute", description="Work API calls for the whole fleet")
    http_timeout_secs: float = Field(20.0, gt=0, description="longest call to C2S or Diretrix")
    work_api_timeout_secs: float = Field(60.0, gt=0, description="longest call to the Work API")
    http_max_bytes: int = Field(4_194_304, ge=1024, description="largest answer read from an outside API")

    # The message
    message_max_chars: int = Field(5000, ge=200, description="longest message")
    message_show_cpf: bool = Field(default=False, description="show CPFs whole instead of masked")
    income_multiplier: float = Field(1.0, gt=0, description="factor on the income shown")

    # The record
    projector_batch: int = Field(500, ge=1, le=10_000, description="most entries per transaction")

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal")

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
        ("{id}" in s.c2s_message_path, "C2S_MESSAGE_PATH: must contain {id}"),
    )
    return [text for holds, text in rules if not holds]


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
