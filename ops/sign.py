"""Webhook signatures: the seed's (``X-C2S-Signature``) and Standard Webhooks'. Pure; comparisons on bytes.

The seed's: hex HMAC-SHA256 of the raw body, keyed with the secret's own characters (what
``openssl dgst -sha256 -hmac "$SECRET"`` prints), in either case, optionally after ``sha256=``.
Standard Webhooks (specification, "Signature scheme"): base64 HMAC-SHA256 of ``{id}.{timestamp}.{body}``
after ``v1,``; several signatures stand side by side, separated by spaces.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable

_PREFIX = "sha256="
_STANDARD_PREFIX = "whsec_"
_STANDARD_VERSION = "v1,"
_DIGEST_BYTES = 32
_DIGITS = 2 * _DIGEST_BYTES


def digest(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.digest(key, content, "sha256")


def keyed(key: bytes) -> hmac.HMAC:
    """A key made ready: `digest_with` it takes half the time of `digest`."""
    return hmac.new(key, digestmod="sha256")


def digest_with(ready: hmac.HMAC, content: bytes) -> bytes:
    """HMAC-SHA256 with a key of `keyed`, which stays as it is."""
    made = ready.copy()
    made.update(content)
    return made.digest()


def sign(secret: str, raw: bytes) -> str:
    """The value of ``X-C2S-Signature`` for a raw body, in lower-case hex."""
    return digest(secret.encode(), raw).hex()


def verify(secret: str, raw: bytes, signature: str) -> bool:
    """Whether ``signature`` (as it came) is right for the raw body; a malformed one is not."""
    given = read_signature(signature)
    return given is not None and hmac.compare_digest(digest(secret.encode(), raw), given)


def read_signature(text: str) -> bytes | None:
    """The digest in a header value such as ``sha256=0A1B…``; None where it is malformed."""
    digits = text if len(text) == _DIGITS else text[len(_PREFIX) :]
    if len(digits) != _DIGITS or text[:-_DIGITS].lower() not in ("", _PREFIX):
        return None
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        return None
    return found if len(found) == _DIGEST_BYTES else None  # `fromhex` passes over spaces


def standard_key(secret: str) -> bytes:
    """The key bytes of a Standard Webhooks secret.

    ``whsec_`` is followed by the key in base64; a secret without it is taken as its own characters.

    Raises:
        ValueError: what follows ``whsec_`` is not base64, or empty.
    """
    if not secret.startswith(_STANDARD_PREFIX):
        return secret.encode()
    text = secret.removeprefix(_STANDARD_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what follows whsec_ is not base64") from None
    if not key:
        raise ValueError("nothing follows whsec_")
    return key


def standard_content(message_id: bytes, timestamp: bytes, raw: bytes) -> bytes:
    """What a Standard Webhooks signature signs."""
    return b".".join((message_id, timestamp, raw))


def sign_standard(secret: str, message_id: str, timestamp: str, raw: bytes) -> str:
    """One value for ``webhook-signature``; raises as `standard_key`."""
    content = standard_content(message_id.encode(), timestamp.encode(), raw)
    return _STANDARD_VERSION + base64.b64encode(digest(standard_key(secret), content)).decode()


def read_standard(text: str) -> list[bytes]:
    """The ``v1`` digests in a ``webhook-signature`` header; other versions and malformed ones are not."""
    found = []
    for part in text.split(" "):
        if not part.startswith(_STANDARD_VERSION):
            continue
        try:
            given = base64.b64decode(part.removeprefix(_STANDARD_VERSION), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(given) == _DIGEST_BYTES:
            found.append(given)
    return found


def any_equal(expected: bytes, given: Iterable[bytes]) -> bool:
    """Whether one of ``given`` is ``expected``, in time that does not tell which."""
    found = False
    for one in given:
        found |= hmac.compare_digest(expected, one)
    return found
