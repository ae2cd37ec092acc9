"""Persons at rest: with PAYLOAD_KEYS each has a data key of their own, and a keyed hash for a name.

The keys lie wrapped in the table `data_keys`: deleting a person's key makes every copy of their row
unreadable. Unlike payloads, a person's texts are sealed the same way each time (the nonce follows from key
and text), so that a rebuild gives the very same rows; the hash key is made once and kept for ever, so that
rotation of PAYLOAD_KEYS renames nobody.
"""

import base64
import hashlib
import hmac
import os
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass

import asyncpg
import asyncpg.pool

from ops.aead import aes_gcm, invalid_tag
from ops.seal import SealingCodec
from schema.codec import SEALED, PayloadCodec
from schema.errors import CodecError

INDEX = "index"
PERSON = "person:"
PREFIX = f"{SEALED}p1:"
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_KEY_BYTES = 32
_NONCE = 12
_HASH_HEX = 32
# Not a read model's table: a rebuild finds it where it is, whatever else it builds anew.
_MAKE = """
INSERT INTO public.data_keys (name, wrapped) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT DO NOTHING
"""
_KEYS = "SELECT name, wrapped FROM public.data_keys WHERE name = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Person:
    """How one person's row is written and read.

    Attributes:
        name: what stands in ``people.cpf``: a keyed hash, or the CPF itself where all is in clear.
        key: 32 bytes; None where all is in clear.
    """

    name: str
    key: bytes | None = None

    def seal(self, field: str, clear: str) -> str:
        """The stored form of a column's text, always the same for the same text."""
        if self.key is None or not clear:
            return clear
        data = f"c2s:sealed:p1\0{self.name}\0{field}".encode()
        nonce = hmac.digest(self.key, b"nonce\0" + data + b"\0" + clear.encode(), hashlib.sha256)[:_NONCE]
        sealed = aes_gcm(self.key).encrypt(nonce, clear.encode(), data)
        return PREFIX + base64.b64encode(nonce + sealed).decode()

    def open(self, field: str, stored: str) -> str:
        """The clear text of a column.

        Raises:
            CodecError: the person's key is gone, or the text was changed.
        """
        if not stored.startswith(SEALED):
            return stored
        if self.key is None or not stored.startswith(PREFIX):
            raise CodecError("the person's key is gone, or PAYLOAD_KEYS are not set here")
        data = f"c2s:sealed:p1\0{self.name}\0{field}".encode()
        try:
            raw = base64.b64decode(stored[len(PREFIX) :], validate=True)
            return aes_gcm(self.key).decrypt(raw[:_NONCE], raw[_NONCE:], data).decode()
        except (Base64Error, invalid_tag(), ValueError):
            raise CodecError("a person's sealed text was changed") from None


class Persons:
    """Finds and makes the keys of persons."""

    def __init__(self, codec: PayloadCodec) -> None:
        """Prepare.

        Args:
            codec: of the process; one that does not seal leaves persons in clear, too.
        """
        self._codec = codec if isinstance(codec, SealingCodec) else None

    async def of(self, conn: Connection, cpfs: Iterable[str]) -> dict[str, Person]:
        """The persons with these CPFs; whoever has no key gets one, in the caller's transaction.

        Raises:
            CodecError: a key cannot be unwrapped with PAYLOAD_KEYS.
        """
        if self._codec is None:
            return {cpf: Person(cpf) for cpf in cpfs}
        index = await self._index(conn)
        names = {cpf: _hashed(index, "cpf", cpf) for cpf in cpfs}
        keys = await self._keys(conn, [PERSON + name for name in names.values()], make=True)
        return {cpf: Person(name, keys[PERSON + name]) for cpf, name in names.items()}

    async def named(self, conn: Connection, names: Iterable[str]) -> dict[str, Person]:
        """The persons of rows, by what stands in ``people.cpf``; without key where there is none.

        Raises:
            CodecError: as `of`.
        """
        wanted = list(names)
        if self._codec is None:
            return {name: Person(name) for name in wanted}
        keys = await self._keys(conn, [PERSON + name for name in wanted], make=False)
        return {name: Person(name, keys.get(PERSON + name)) for name in wanted}

    async def hashed(self, conn: Connection, kind: str, text: str) -> str:
        """A keyed hash of ``text``: equal for equal texts; without the key nobody can try texts against it.

        Raises:
            CodecError: as `of`; also without PAYLOAD_KEYS, where there is no such key.
        """
        if self._codec is None:
            raise CodecError("keyed hashes need PAYLOAD_KEYS")
        return _hashed(await self._index(conn), kind, text)

    async def _index(self, conn: Connection) -> bytes:
        """Asked for each time: one that was made in a transaction may have gone with it."""
        return (await self._keys(conn, [INDEX], make=True))[INDEX]

    async def _keys(self, conn: Connection, names: list[str], *, make: bool) -> dict[str, bytes]:
        assert self._codec is not None  # noqa: S101 -- only asked where texts are sealed
        found = {row["name"]: row["wrapped"] for row in await conn.fetch(_KEYS, names)}
        missing = sorted(set(names) - set(found))
        if make and missing:
            fresh = [
                self._codec.seal(n, "key", base64.b64encode(os.urandom(_KEY_BYTES)).decode()) for n in missing
            ]
            await conn.execute(_MAKE, missing, fresh)
            found |= {row["name"]: row["wrapped"] for row in await conn.fetch(_KEYS, missing)}
        return {name: base64.b64decode(self._codec.open(name, "key", text)) for name, text in found.items()}


def _hashed(index: bytes, kind: str, text: str) -> str:
    return hmac.digest(index, f"{kind}\0{text}".encode(), hashlib.sha256).hex()[:_HASH_HEX]
