"""Settings of the door."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET


class Door(BaseSettings):
    """The door."""

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
