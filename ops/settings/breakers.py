"""Settings of the outside APIs' circuit breakers and of what is spared them."""

from pydantic import Field
from pydantic_settings import BaseSettings


class Breakers(BaseSettings):
    """Circuit breakers and the cache of look-ups."""

    breaker_failure_rate: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of an API's calls of five minutes that must fail to open its breaker",
    )
    breaker_failures: int = Field(3, ge=1, description="least number of failures that opens a breaker")
    breaker_open_secs: float = Field(
        30.0, gt=0, description="time before an open breaker lets a probe through; doubles each time"
    )
    breaker_open_max_secs: float = Field(300.0, gt=0, description="greatest time between two probes")
