"""AES-256-GCM, loaded when a key is first used: 7 MB that a process without PAYLOAD_KEYS has no use for."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def aes_gcm(key: bytes) -> "AESGCM":
    """The cipher under a key of 32 bytes."""
    return _cipher()(key)


@cache
def invalid_tag() -> type[Exception]:
    """What it raises for a text that was changed; to be named in an ``except``, which asks only then."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- see above

    return InvalidTag


@cache
def _cipher() -> type["AESGCM"]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- see above

    return AESGCM
