"""Sessions of the console: a signed cookie, worth nothing after its end or once ADMIN_TOKEN changes.

The cookie holds a random id and the session's end, signed with a key derived from the token; nothing is
stored here, so any ingress takes it. Tokens against forged requests are made of the same id.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

COOKIE = "c2s_session"
LOGIN_COOKIE = "c2s_login"
LIFE_S = 8 * 3600
_ID_BYTES = 12
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in.

    Attributes:
        ends_at: epoch seconds.
    """

    id: str
    ends_at: int


class Signer:
    """Makes and checks cookies and form tokens."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"c2s-leadstream:console", hashlib.sha256)

    def begin(self, now_s: float) -> tuple[Session, str]:
        """A new session and its cookie."""
        session = Session(secrets.token_hex(_ID_BYTES), int(now_s) + LIFE_S)
        return session, f"{session.id}.{session.ends_at}.{self._sign('session', session.id, session.ends_at)}"

    def session_of(self, cookie: str, now_s: float) -> Session | None:
        """The session of a cookie; None where it is forged or over."""
        parts = cookie.split(".")
        if len(parts) != _PARTS or not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 12):  # noqa: PLR2004
            return None
        session = Session(parts[0], int(parts[1]))
        wanted = self._sign("session", session.id, session.ends_at)
        if not _same(wanted, parts[2]) or session.ends_at <= now_s:
            return None
        return session

    def form_token(self, session_id: str) -> str:
        """What every form of a session carries."""
        return self._sign("form", session_id)

    def is_form_token(self, session_id: str, given: str) -> bool:
        """Whether a form came from a page of this session."""
        return _same(self.form_token(session_id), given)

    def _sign(self, *parts: object) -> str:
        text = "\0".join(str(part) for part in parts)
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogateescape"))
