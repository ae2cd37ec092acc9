"""Settings of the engine."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

_ECO_BLOCK_S = 300.0


class Engine(BaseSettings):
    """The engine."""

    processor_concurrency: int = Field(64, ge=1, le=1000, description="leads in work at once per processor")
    lease_ttl_secs: float = Field(30.0, gt=0, description="life of a lead's lease without renewal")
    heartbeat_secs: float = Field(8.0, gt=0, description="time between renewals of leases in work")
    reclaim_idle_secs: float = Field(
        35.0, gt=0, description="idle time after which XAUTOCLAIM takes an entry"
    )
    update_settle_secs: float = Field(
        2.0,
        ge=0,
        description="how long an update waits for newer ones of its lead, of which the last is worked",
    )
    block_secs: float = Field(60.0, gt=0, description="longest blocking read on an idle stream")
    eco: bool = Field(
        default=False, description="for a Redis billed per command: BLOCK_SECS is 300 where it is not set"
    )
    max_attempts: int = Field(8, ge=1, description="attempts before an event becomes a dead letter")
    backoff_base_secs: float = Field(2.0, gt=0, description="first retry's greatest delay; doubles each time")
    backoff_max_secs: float = Field(600.0, gt=0, description="greatest delay of a retry")
    steps_ttl_secs: int = Field(7 * 86_400, ge=60, description="how long Redis keeps an event's steps")
    shutdown_deadline_secs: float = Field(25.0, gt=0, description="time to finish work after SIGTERM")
    send_policy: Literal["verify", "at_most_once"] = Field(
        "verify", description="after an ambiguous send: read the lead first, or never send again"
    )
    dry_run: bool = Field(default=False, description="do everything but the POST to C2S")

    @model_validator(mode="after")
    def _block_longer(self) -> Self:
        if self.eco and "block_secs" not in self.model_fields_set:
            self.block_secs = _ECO_BLOCK_S
        return self
