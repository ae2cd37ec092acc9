"""Sealing: AES-256-GCM under a data key per text, which PAYLOAD_KEYS wrap.

A sealed text is self-contained, so that opening it asks nobody:

    sealed:v1:<key id>:<base64 of  wrap nonce 12 | wrapped data key 48 | nonce 12 | ciphertext and tag>

Each text has a fresh random data key, wrapped by the newest of PAYLOAD_KEYS; the key id (8 hex digits of the
key's SHA-256) says by which. The text's associated data are the version, the event id and the field: moved to
another event or field it does not open. Rotation wraps the data key anew and leaves the ciphertext as it is.
Text that does not begin like this is from before there were keys, and opens as it is.
"""

import hashlib
import hmac
import os
import struct
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from weakref import WeakSet

from pybase64 import b64decode, b64encode_as_string

from ops.aead import aes_gcm, invalid_tag
from ops.settings import Settings
from ops.settings.privacy import KEY_BYTES, payload_keys
from schema.codec import SEALED, PayloadCodec, PlainCodec
from schema.errors import CodecError, KeyMissing

PREFIX = f"{SEALED}v1:"
_ID_HEX = 8
_NONCE = 12
_TAG = 16
_WRAPPED = _NONCE + KEY_BYTES + _TAG
_LEAST = _WRAPPED + _NONCE + _TAG
_WRAP_DATA = b"c2s:sealed:v1:data-key"
_AHEAD = 64
# A data key, the nonce to wrap it with, and the text's.
_RANDOM = struct.Struct(f"{KEY_BYTES}s{_NONCE}s{_NONCE}s")
_BODY_AT = len(PREFIX) + _ID_HEX + 1

# How to encrypt with it, the nonce to do so with, and what stands before the ciphertext.
_DataKey = tuple[Callable[[bytes, bytes, bytes | None], bytes], bytes, bytes]


def key_id(key: bytes) -> str:
    """The name under which a key stands in sealed texts; it tells nothing of the key."""
    return hashlib.sha256(key).hexdigest()[:_ID_HEX]


def key_of(stored: str) -> str:
    """The id of the key that a stored text needs; empty where it is not sealed."""
    return stored[len(PREFIX) : _BODY_AT - 1] if stored.startswith(PREFIX) else ""


class SealingCodec:
    """Seals with the newest key, opens with any."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Prepare.

        Args:
            keys: 32 bytes each, the newest first; at least one.
        """
        self._keys = {key_id(key): aes_gcm(key) for key in keys}
        self.newest = key_id(keys[0])
        self._head = f"{PREFIX}{self.newest}:"
        self._wrap = self._keys[self.newest].encrypt
        self._ahead: list[_DataKey] = []
        _CODECS.add(self)
        self._nonce_key = hmac.digest(keys[0], b"c2s:sealed:v1:nonce", "sha256")

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys at hand, the newest first."""
        return tuple(self._keys)

    def seal(self, event_id: str, field: str, clear: str) -> str:
        """As `PayloadCodec.seal`."""
        if not clear:
            return clear
        encrypt, nonce, envelope = self._fresh()
        sealed = encrypt(nonce, clear.encode(), _bound(event_id, field))
        return self._head + b64encode_as_string(envelope + sealed)

    def open(self, event_id: str, field: str, stored: str) -> str:
        """As `PayloadCodec.open`."""
        if not stored.startswith(SEALED):
            return stored
        data_key, rest = self._unwrapped(stored)
        try:
            clear = aes_gcm(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], _bound(event_id, field))
        except invalid_tag():
            raise CodecError(
                f"the sealed {field} was changed, or belongs to another event or field"
            ) from None
        return clear.decode()

    def rewrapped(self, stored: str) -> str:
        """The same text with its data key under the newest key; unsealed text as it is.

        All copies of a text become the same again (the nonce follows from the data key, which is random), so
        that a rebuild from a rewrapped archive equals the rewrapped tables.

        Raises:
            KeyMissing: the key it needs is not at hand.
            CodecError: it was changed.
        """
        if not stored.startswith(SEALED) or stored.startswith(self._head):
            return stored
        return self._enveloped(*self._unwrapped(stored))

    def sealed_later(self, event_id: str, field: str, clear: str) -> str:
        """The stored form of text from before there were keys: the same for all its copies.

        Its data key follows from key and text, so it is used for nothing else and the nonce may be fixed.
        """
        bound = _bound(event_id, field)
        data_key = hmac.digest(self._nonce_key, bound + b"\0" + clear.encode(), "sha256")
        sealed = aes_gcm(data_key).encrypt(bytes(_NONCE), clear.encode(), bound)
        return self._enveloped(data_key, bytes(_NONCE) + sealed)

    def _fresh(self) -> _DataKey:
        """A data key that nothing was sealed with yet, and never is again.

        They are made ahead by the dozen: one by one, the calls of the kernel and the cold code of the cipher
        cost a door a fortieth of its time.
        """
        while True:
            try:
                return self._ahead.pop()
            except IndexError:
                self._make_ahead()

    def forget(self) -> None:
        """Use none of the data keys that were made ahead."""
        self._ahead = []

    def _make_ahead(self) -> None:
        for data_key, wrap_nonce, nonce in _RANDOM.iter_unpack(os.urandom(_AHEAD * _RANDOM.size)):
            wrapped = self._wrap(wrap_nonce, data_key, _WRAP_DATA)
            self._ahead.append((aes_gcm(data_key).encrypt, nonce, wrap_nonce + wrapped + nonce))

    def _enveloped(self, data_key: bytes, rest: bytes) -> str:
        wrap_nonce = hmac.digest(self._nonce_key, data_key, "sha256")[:_NONCE]
        wrapped = self._wrap(wrap_nonce, data_key, _WRAP_DATA)
        return self._head + b64encode_as_string(wrap_nonce + wrapped + rest)

    def _unwrapped(self, stored: str) -> tuple[bytes, bytes]:
        """The data key of a sealed text, and what stands after it."""
        name = key_of(stored)
        if not name:
            raise CodecError("sealed in a form that this version does not know")
        key = self._keys.get(name)
        if key is None:
            raise KeyMissing(f"sealed with key {name}, which is not among PAYLOAD_KEYS here: add it")
        try:
            raw = b64decode(stored[_BODY_AT:], validate=True)
            if len(raw) < _LEAST:
                raise CodecError("a sealed text was cut short")
            data_key = key.decrypt(raw[:_NONCE], raw[_NONCE:_WRAPPED], _WRAP_DATA)
        except (Base64Error, invalid_tag(), ValueError):
            raise CodecError(f"a text sealed with key {name} was changed") from None
        return data_key, raw[_WRAPPED:]


def _after_fork() -> None:
    """The parent seals with the data keys that are left; a child makes its own."""
    for codec in _CODECS:
        codec.forget()


_CODECS: "WeakSet[SealingCodec]" = WeakSet()
os.register_at_fork(after_in_child=_after_fork)


def _bound(event_id: str, field: str) -> bytes:
    return f"c2s:sealed:v1\0{event_id}\0{field}".encode()


def sealing_of(settings: Settings) -> SealingCodec | None:
    """The codec of PAYLOAD_KEYS, or None where none are set."""
    keys = payload_keys(settings.payload_keys.get_secret_value())
    return SealingCodec(keys) if keys else None


def codec_of(settings: Settings) -> PayloadCodec:
    """What every process seals and opens with: PAYLOAD_KEYS, or everything in clear without them."""
    return sealing_of(settings) or PlainCodec()
