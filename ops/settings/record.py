"""Settings of the record."""

from pydantic import Field
from pydantic_settings import BaseSettings


class Record(BaseSettings):
    """The record."""

    projector_batch: int = Field(500, ge=1, le=10_000, description="most entries per transaction")
