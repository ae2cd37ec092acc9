"""Settings of how outside calls are spared and survived: breakers, cache, notices."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET


class Breakers(BaseSettings):
    """Circuit breakers, the cache of look-ups and the notice of a close."""

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
    on_enrichment_down: Literal["wait", "send_without"] = Field(
        "wait",
        description="while Diretrix's or the Work API's breaker is open: leads wait, or are sent as "
        '"no profile yet" and completed later',
    )
    profile_cache_secs: int = Field(
        86_400, ge=0, description="how long the fleet keeps answers of Diretrix and the Work API; 0 = not"
    )
    hash_key: SecretStr = Field(
        NO_SECRET,
        description="key of the hashes of contacts and CPFs that we store; by default made of C2S_TOKEN",
    )
    notify_url: SecretStr = Field(
        NO_SECRET, description="where a closed lead is announced (Slack-compatible, no personal data)"
    )
