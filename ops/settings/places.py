"""Settings of where things are."""

import os
import socket

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from schema.identity import Partitions


def _default_instance() -> str:
    return os.environ.get("FLY_MACHINE_ID") or f"{socket.gethostname()}-{os.getpid()}"


class Places(BaseSettings):
    """Where things are."""

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis; also rediss://, redis+cluster:// and redis+sentinel:// (docs/REDIS_SETUP.md)",
    )
    database_url: SecretStr = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="Postgres"
    )
    host: str = Field("0.0.0.0", description="address the ingress listens on")  # noqa: S104 -- a server
    port: int = Field(8080, ge=0, le=65535, description="port of the ingress; 0 takes a free one")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port of /metrics of processor, projector and each of several ingress workers; 0 = none",
    )
    instance: str = Field(
        default_factory=_default_instance,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="name of this process in leases, outcomes and logs",
    )
    stream_partitions: int = Field(1, ge=1, le=1024, description="number of partitions of the streams")
    stream_partitions_other: int = Field(
        0,
        ge=0,
        le=1024,
        description="the number before or after, while it is being changed (docs/scaling.md); 0 = it is not",
    )

    @property
    def partitions(self) -> Partitions:
        """Where leads are."""
        return Partitions(self.stream_partitions, self.stream_partitions_other)
