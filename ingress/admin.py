"""Who may operate: whoever holds ADMIN_TOKEN. Without one there is no operator API and no console."""

import hmac

from aiohttp import web

from ingress.problems import AuthError, not_found
from ingress.rates import Buckets, rate_limited, source_of
from ops.audit import Actor, token_name
from ops.settings import Settings

GUESSES = "10/minute"


class Admin:
    """Judges tokens; wrong ones are counted per source, whichever way they come."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.admin_token.get_secret_value()
        self._header = settings.source_header
        self._guesses = Buckets(GUESSES)
        self.name = token_name(self._token)

    @property
    def secret(self) -> bytes:
        """What other secrets are derived from."""
        return self._token.encode()

    def there(self) -> None:
        """Refuse where nothing is to be operated.

        Raises:
            AuthError: 404, as for any address that does not exist.
        """
        if not self._token:
            raise not_found()

    def is_token(self, request: web.Request, given: str) -> bool:
        """Whether it is the token, in constant time; a wrong one counts.

        Raises:
            Refusal: 429: this source gave too many wrong ones; a right one would be refused now, too.
        """
        source = source_of(request, self._header)
        if wait_s := self._guesses.blocked(source):
            raise rate_limited(wait_s, "source", event="auth.rate_limited")
        right = hmac.compare_digest(self.secret, given.encode("utf-8", "surrogateescape"))
        if not right:
            self._guesses.take(source)
        return right

    def bearer(self, request: web.Request) -> Actor:
        """Who asks with a bearer token.

        Raises:
            AuthError: 401 ``admin_token_missing`` or ``admin_token_invalid``; 404 where there is none.
            Refusal: 429.
        """
        self.there()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthError("admin_token_missing", "Send ADMIN_TOKEN as a Bearer token.")
        if not self.is_token(request, token.strip()):
            raise AuthError("admin_token_invalid", "That is not the operator's token.")
        return Actor(self.name, "api")
