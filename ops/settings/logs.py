"""Settings of logs."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class Logs(BaseSettings):
    """Logs."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal")
