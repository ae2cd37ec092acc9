"""Settings of the message."""

from pydantic import Field
from pydantic_settings import BaseSettings


class Message(BaseSettings):
    """The message."""

    message_max_chars: int = Field(5000, ge=200, description="longest message")
    message_show_cpf: bool = Field(default=False, description="show CPFs whole instead of masked")
    note_on_no_match: bool = Field(
        default=False, description="tell the broker in a short message where nobody was found"
    )
    income_multiplier: float = Field(1.0, gt=0, description="factor on the income shown")
