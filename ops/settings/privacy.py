"""Settings of personal data at rest."""

import base64
import binascii
import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET

KEY_BYTES = 32
_SPLIT = re.compile(r"[,\s]+")


def payload_keys(text: str) -> tuple[bytes, ...]:
    """The keys of a PAYLOAD_KEYS text, newest first; none of an empty text.

    Raises:
        ValueError: one is not the base64 of 32 bytes, or comes twice; the text quotes none.
    """
    keys: list[bytes] = []
    for number, part in enumerate(filter(None, _SPLIT.split(text)), 1):
        try:
            key = base64.b64decode(part.encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise ValueError(f"key {number} is not base64; `c2s keys new` makes one") from None
        if len(key) != KEY_BYTES:
            raise ValueError(f"key {number} has {len(key)} bytes instead of {KEY_BYTES}; try `c2s keys new`")
        if key in keys:
            raise ValueError(f"key {number} is there twice")
        keys.append(key)
    return tuple(keys)


class Privacy(BaseSettings):
    """Personal data at rest."""

    payload_keys: SecretStr = Field(
        NO_SECRET,
        description="keys that seal personal data: each base64 of 32 bytes, comma-separated, newest first; "
        "empty keeps it in clear",
    )

    store_income: Literal["band", "exact"] = Field(
        "band", description="how the record keeps incomes; messages show them as given"
    )
    raw_retention_hours: float = Field(
        72.0,
        ge=0,
        description="hours after which finished webhooks lose their raw payload, in streams and tables; "
        "0 = kept as long as the rest",
    )

    @field_validator("payload_keys")
    @classmethod
    def _well_formed(cls, value: SecretStr) -> SecretStr:
        payload_keys(value.get_secret_value())
        return value
