"""Settings of logs and traces."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class Logs(BaseSettings):
    """Logs and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal")
    otel_exporter_otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="base URL of an OTLP/HTTP collector of traces (extra `otel`); empty = none",
    )
