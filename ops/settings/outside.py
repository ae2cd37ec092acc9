"""Settings of the world outside."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET, RateText


class Outside(BaseSettings):
    """The world outside."""

    c2s_base_url: str = Field("https://api.contact2sale.com", description="base URL of C2S")
    c2s_token: SecretStr = Field(NO_SECRET, description="the company's C2S token")
    c2s_message_path: str = Field(
        "/integration/leads/{id}/create_message", description="path of the message call (also .../messages)"
    )
    c2s_rate_limit: RateText = Field("10/minute", description="C2S calls for the whole fleet; 0 = no limit")
    diretrix_base_url: str = Field(
        "http://api.diretrixconsultoria.com.br", description="base URL of Diretrix"
    )
    diretrix_user: str = Field("", description="user of Diretrix")
    diretrix_pass: SecretStr = Field(NO_SECRET, description="password of Diretrix")
    diretrix_rate_limit: RateText = Field("60/minute", description="Diretrix calls for the whole fleet")
    work_api_base_url: str = Field("https://completa.workbuscas.com", description="base URL of the Work API")
    work_api_key: SecretStr = Field(NO_SECRET, description="token of the Work API")
    work_api_rate_limit: RateText = Field("20/minute", description="Work API calls for the whole fleet")
    http_timeout_secs: float = Field(20.0, gt=0, description="longest call to C2S or Diretrix")
    work_api_timeout_secs: float = Field(60.0, gt=0, description="longest call to the Work API")
    http_max_bytes: int = Field(4_194_304, ge=1024, description="largest answer read from an outside API")
