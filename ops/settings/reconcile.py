"""Settings of reconcile."""

from pydantic import Field
from pydantic_settings import BaseSettings

from ops.settings.kinds import Seconds


class Reconcile(BaseSettings):
    """Reconcile."""

    reconcile_every: Seconds = Field(
        0.0,
        description="time between comparisons with C2S's list of leads, e.g. 15m; 0 = off. Turn it on once "
        "C2S sends its webhooks here: before, every lead is missing and would be messaged",
    )
    reconcile_share: float = Field(
        0.2, gt=0, le=1, description="greatest share of C2S_RATE_LIMIT that reconcile takes"
    )
