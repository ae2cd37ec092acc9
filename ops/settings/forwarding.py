"""Settings of forwarding during a migration."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET, Seconds


class Forwarding(BaseSettings):
    """Forwarding."""

    forward_url: SecretStr = Field(
        NO_SECRET, description="gets a copy of each accepted webhook, during a migration; empty = none"
    )
    forward_timeout_secs: float = Field(20.0, gt=0, description="longest wait for FORWARD_URL's answer")
    forward_give_up_secs: Seconds = Field(
        3 * 86_400.0,
        gt=0,
        description="age at which a copy that cannot be delivered is given up (`3d`, `12h`)",
    )
