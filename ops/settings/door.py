"""Settings of the door."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET, RateText


class Door(BaseSettings):
    """The door."""

    c2s_webhook_secret: SecretStr = Field(NO_SECRET, description="HMAC secret of signed webhooks")
    c2s_webhook_secret_previous: SecretStr = Field(NO_SECRET, description="accepted too, during a rotation")
    c2s_webhook_token: SecretStr = Field(NO_SECRET, description="secret in the URL, for unsigned webhooks")
    c2s_webhook_token_previous: SecretStr = Field(NO_SECRET, description="accepted too, during a rotation")
    ingress_workers: int = Field(
        1, ge=1, le=256, description="ingress processes on one port (also: c2s ingress --workers N)"
    )
    ingress_reuse_port: bool = Field(
        default=False,
        description="share PORT with other ingress processes of the same user (SO_REUSEPORT); /metrics is"
        " then on METRICS_PORT",
    )
    c2s_webhook_timeout_secs: int = Field(300, ge=1, description="how far a webhook's timestamp may be off")
    allow_unsigned: bool = Field(default=False, description="accept webhooks that nothing vouches for")
    admin_token: SecretStr = Field(
        NO_SECRET,
        description="token of the operator API (bearer) and of the console's login; empty = neither is there",
    )
    max_body_bytes: int = Field(262_144, ge=1024, description="largest webhook body")
    read_timeout_secs: float = Field(10.0, gt=0, description="longest wait for a request body")
    max_reading_bytes: int = Field(
        16_777_216, ge=1024, description="of all bodies that are still on their way; beyond it 503"
    )
    max_header_bytes: int = Field(8190, ge=1024, le=65_536, description="longest request line or header")
    max_connections: int = Field(
        1000, ge=1, description="open connections; beyond it idle ones are closed, then new ones get 503"
    )
    keepalive_secs: float = Field(
        75.0, gt=0, description="how long a connection may wait for a (whole) request head"
    )
    lead_rate_limit: RateText = Field(
        "300/minute", description="webhooks of one lead per ingress process; 0 = no limit"
    )
    source_rate_limit: RateText = Field(
        "", description="requests of one source address per ingress process; empty = no limit"
    )
    source_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]*$",
        description="header in which a proxy of ours names the source (Fly: Fly-Client-IP); empty = the peer",
    )
    max_in_flight_appends: int = Field(
        1000, ge=1, description="webhooks being stored at once (a large one counts per 16 KiB); beyond it 503"
    )
    trigger_wait_secs: float = Field(
        25.0, ge=0, le=120, description="how long /api/v1/leads/process waits where ?wait= does not say"
    )
    trigger_api_key: SecretStr = Field(NO_SECRET, description="key of /api/v1/leads/process and /status")
    allow_open_trigger: bool = Field(default=False, description="/api/v1/leads/process without a key")
    require_fsync: bool = Field(
        default=False,
        description="200 (and the send) only once webhook (and send intent) are on disk: WAITAOF or `always`",
    )
    require_replicas: int = Field(
        0,
        ge=0,
        le=10,
        description="200 (and the send) only once so many replicas have webhook (and intent)",
    )
    durable_timeout_secs: float = Field(
        1.0,
        gt=0,
        le=4,
        description="longest wait for disk or replicas; then webhook is spooled, send waits",
    )
    dedup_ttl_secs: int = Field(30 * 86_400, ge=60, description="how long Redis remembers a webhook")
