"""What operators did, in ``operator_actions``: noted before it is done, so that nothing is done unnoted."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg

from ops.postgres import translated

Via = Literal["console", "api", "cli"]
Action = Literal[
    "login",
    "logout",
    "payload_revealed",
    "message_revealed",
    "person_searched",
    "dead_replayed",
    "dead_discarded",
    "subject_shown",
    "subject_exported",
    "subject_erased",
]

_DERIVED = b"c2s-leadstream:operator"
_ID_HEX = 8
_NOTE = """
INSERT INTO operator_actions (actor, via, action, target, reason) VALUES ($1, $2, $3, $4, $5) RETURNING id
"""
_DONE = "UPDATE operator_actions SET affected = $2 WHERE id = $1"
_LIST = """
SELECT id, at, actor, via, action, target, reason, affected FROM operator_actions ORDER BY id DESC LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.

    Attributes:
        name: fingerprint of the token, and of the console's session; never a secret.
    """

    name: str
    via: Via


def token_name(token: str) -> str:
    """The name of whoever holds a token; it tells nothing of the token."""
    return hmac.new(token.encode(), _DERIVED, hashlib.sha256).hexdigest()[:_ID_HEX]


class Audit:
    """Writes and lists the actions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def note(self, actor: Actor, action: Action, target: str = "", reason: str = "") -> int:
        """Note an action that is about to be done; its id.

        Raises:
            StorageUnavailable: Postgres is away: the action must not be done.
        """
        with translated("noting an operator's action"):
            noted: int = await self._pool.fetchval(
                _NOTE, actor.name, actor.via, action, target, storable(reason)
            )
        return noted

    async def done(self, noted: int, affected: int) -> None:
        """Note how many events it concerned.

        Raises:
            StorageUnavailable: Postgres is away; the action itself is noted.
        """
        with translated("noting an operator's action"):
            await self._pool.execute(_DONE, noted, affected)

    async def latest(self, limit: int) -> list[dict[str, Any]]:
        """The newest actions first.

        Raises:
            StorageUnavailable: Postgres is away.
        """
        with translated("listing operators' actions"):
            return [dict(row) for row in await self._pool.fetch(_LIST, limit)]


def storable(text: str) -> str:
    """As Postgres takes it: without NUL characters and halves of characters, which it refuses."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
