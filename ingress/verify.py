"""Who vouches for a webhook: the seed's signature, Standard Webhooks, or the secret in the URL. Pure.

Raw bytes only, compared in constant time; of each kind of secret the current and the previous one. A
signature that is there must be right, also with ``ALLOW_UNSIGNED``: that setting accepts webhooks that
nothing vouches for, not webhooks that something speaks against.

The window of time is enforced where a signature vouches. Where only a URL token does, refusing could lose a
lead and would protect nothing: whoever has the token can write any time into the body.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from multidict import istr
from pydantic import SecretStr

from ingress.problems import AuthError, not_found
from ops import sign
from ops.settings import Settings
from schema.errors import SettingsError
from schema.times import parse

SIGNATURE = "X-C2S-Signature"
TIMESTAMP = "X-C2S-Timestamp"
STANDARD_ID = "webhook-id"
STANDARD_TIMESTAMP = "webhook-timestamp"
STANDARD_SIGNATURE = "webhook-signature"

# Looked up in every request: as `istr` their lower-case form is made once.
_SIGNATURE, _TIMESTAMP, _STANDARD_SIGNATURE = istr(SIGNATURE), istr(TIMESTAMP), istr(STANDARD_SIGNATURE)

Kind = Literal["signature", "standard", "token", "unsigned"]


class Verified(NamedTuple):
    """What vouches for a webhook.

    Attributes:
        previous: it was the previous secret of a rotation.
        sent_at: the time in a header that the signature covers, or that stands in for the body's.
    """

    by: Kind
    previous: bool = False
    sent_at: datetime | None = None

    @property
    def signed(self) -> bool:
        return self.by in ("signature", "standard")


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret, ready for either kind of signature."""

    previous: bool
    own: hmac.HMAC
    standard: hmac.HMAC


@dataclass(frozen=True, slots=True)
class Verifier:
    """The secrets in force.

    Attributes:
        secrets: of signatures, the current one first.
        tokens: of URLs, likewise.
        window: how far a signed webhook's time may be off, either way.
    """

    secrets: tuple[Secret, ...]
    tokens: tuple[tuple[bytes, bool], ...]
    allow_unsigned: bool
    window: timedelta

    def signed(self, headers: Mapping[str, str], raw: bytes) -> Verified:
        """What vouches for a webhook that came to the plain URL.

        Raises:
            AuthError: 401 ``signature_missing``, ``signature_malformed``, ``signature_invalid``; 400
                ``timestamp_malformed`` for a header's time.
        """
        own = headers.get(_SIGNATURE)
        if own is not None and (self.secrets or not self.allow_unsigned):
            return Verified("signature", self._own(own, raw), _time(headers.get(_TIMESTAMP)))
        standard = headers.get(_STANDARD_SIGNATURE)
        if standard is not None and (self.secrets or not self.allow_unsigned):
            return self._standard(standard, headers, raw)
        if self.allow_unsigned:
            return Verified("unsigned")
        raise AuthError("signature_missing", "The webhook carries no signature.")

    def token(self, given: str) -> Verified:
        """What vouches for a webhook that came to a URL with a secret.

        Raises:
            AuthError: 404, as if the address did not exist.
        """
        candidate = _bytes(given)
        found: bool | None = None
        for token, previous in self.tokens:
            if hmac.compare_digest(token, candidate) and found is None:
                found = previous
        if found is None:
            raise not_found()
        return Verified("token", found)

    def off_by(self, verified: Verified, body_time: datetime | None, now: datetime) -> timedelta | None:
        """How far outside the window the message's time is; None where it is inside or says nothing."""
        # A Standard Webhooks sender signs the time of each delivery; its body may be older.
        sent_at = verified.sent_at if verified.by == "standard" else body_time or verified.sent_at
        if sent_at is None:
            return None
        off = abs(now - sent_at)
        return off if off > self.window else None

    def _own(self, text: str, raw: bytes) -> bool:
        given = sign.read_signature(text)
        if given is None:
            raise AuthError("signature_malformed", "The signature is not 64 hexadecimal digits.")
        for secret in self.secrets:
            if hmac.compare_digest(sign.digest_with(secret.own, raw), given):
                return secret.previous
        raise _invalid()

    def _standard(self, text: str, headers: Mapping[str, str], raw: bytes) -> Verified:
        message_id, timestamp = headers.get(STANDARD_ID), headers.get(STANDARD_TIMESTAMP)
        if not message_id or not timestamp:
            raise AuthError("signature_malformed", "webhook-id or webhook-timestamp is missing.")
        given = sign.read_standard(text)
        if not given:
            raise AuthError("signature_malformed", "webhook-signature holds no v1 signature.")
        content = sign.standard_content(_bytes(message_id), _bytes(timestamp), raw)
        for secret in self.secrets:
            if sign.any_equal(sign.digest_with(secret.standard, content), given):
                return Verified("standard", secret.previous, _time(timestamp))
        raise _invalid()


def _invalid() -> AuthError:
    return AuthError("signature_invalid", "The signature does not fit the body and our secret.")


def verifier_of(settings: Settings) -> Verifier:
    """The verifier for these settings.

    Raises:
        SettingsError: a secret that starts with ``whsec_`` is not base64.
    """
    names = ("c2s_webhook_secret", "c2s_webhook_secret_previous")
    secrets = [_secret(settings, name, previous=n > 0) for n, name in enumerate(names)]
    tokens = ((settings.c2s_webhook_token, False), (settings.c2s_webhook_token_previous, True))
    return Verifier(
        secrets=tuple(s for s in secrets if s is not None),
        tokens=tuple(
            (t.get_secret_value().encode(), previous) for t, previous in tokens if t.get_secret_value()
        ),
        allow_unsigned=settings.allow_unsigned,
        window=timedelta(seconds=settings.c2s_webhook_timeout_secs),
    )


def _secret(settings: Settings, name: str, *, previous: bool) -> Secret | None:
    value: SecretStr = getattr(settings, name)
    text = value.get_secret_value()
    if not text:
        return None
    try:
        return Secret(previous, sign.keyed(text.encode()), sign.keyed(sign.standard_key(text)))
    except ValueError as error:
        raise SettingsError(f"{name.upper()}: {error}") from None


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        raise AuthError("timestamp_malformed", "The header's timestamp is not a time.", status=400) from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
