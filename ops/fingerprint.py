"""Keyed hashes of personal data: to see whether it is the same again without keeping it.

Whoever has the hashes but not the key cannot try phones or CPFs against them. The key is ``HASH_KEY``, else
derived from the C2S token, which every processor has.
"""

import hashlib
import hmac

from ops.settings import Settings

_DERIVED = b"c2s-leadstream:fingerprints:"
_ID_HEX = 8
_HASH_HEX = 32


class Fingerprints:
    """Hashes under one key; each begins with the key's own id."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._id = hashlib.sha256(_DERIVED + key).hexdigest()[:_ID_HEX]

    @classmethod
    def of_settings(cls, settings: Settings) -> "Fingerprints":
        own = settings.hash_key.get_secret_value()
        return cls((own or settings.c2s_token.get_secret_value()).encode())

    def of(self, *parts: str) -> str:
        """The hash of some texts: ``<key id>-<32 hex digits>``."""
        message = b"\0".join(part.encode() for part in parts)
        return f"{self._id}-{hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_HASH_HEX]}"

    def knows(self, fingerprint: str) -> bool:
        """Whether it was made with this key; one of another key can be compared with nothing."""
        return fingerprint.startswith(f"{self._id}-")
