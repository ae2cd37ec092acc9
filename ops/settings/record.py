"""Settings of the record."""

from pydantic import Field
from pydantic_settings import BaseSettings

LEAST_KEPT = 1_000  # LOOKBACK of schema/lua/append.lua


class Record(BaseSettings):
    """The record."""

    projector_batch: int = Field(4_000, ge=1, le=10_000, description="most entries per transaction")
    trim_keep: int = Field(
        10_000, ge=0, description="newest entries of each stream that stay in Redis; 0 = never trim"
    )
    retention_days: int = Field(
        365, ge=0, description="days the archive and dead letters are kept, in whole months; 0 = for ever"
    )
