"""COPY of rows that are most likely new: half of what INSERT costs Postgres, a tenth of what arrays cost us.

Rows are put into Postgres's binary form where they are made, in the thread beside the loop (`aside`): the
driver would do so for the same price while Postgres waits. Whoever copies also knows how to upsert: a row
that is there already takes the whole COPY back.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, repeat
from typing import Any

import asyncpg

MANY = 50  # from here on COPY is worth its round trips
_PIECE = 300  # rows

# https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_EPOCH_US = (_EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // _US

_size = struct.Struct(">i").pack
_json = struct.Struct(">ib").pack  # its size and the version of the form
_int2 = struct.Struct(">ih").pack
_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack
_bool = struct.Struct(">i?").pack

Kind = Callable[[Sequence[Any]], list[bytes]]
"""Puts the values of a column into the form of its type; any of them may be None."""

Pieces = Iterable[bytes]
"""What COPY sends; false where it is not worth it."""


# A kind for each type of a column.


def text(values: Sequence[str | None]) -> list[bytes]:
    return [_NULL if v is None else _size(len(b := v.encode())) + b for v in values]


def jsonb(values: Sequence[str | None]) -> list[bytes]:
    return [_NULL if v is None else _json(len(b := v.encode()) + 1, 1) + b for v in values]


def json_lines(values: Sequence[bytes]) -> list[bytes]:
    """JSON that is bytes already; none may be None."""
    return [_json(len(v) + 1, 1) + v for v in values]


def uuid(values: Sequence[str | None]) -> list[bytes]:
    if None in values:
        there = iter(uuid([value for value in values if value is not None]))
        return [_NULL if value is None else next(there) for value in values]
    digits = bytes.fromhex("".join(values).replace("-", ""))  # type: ignore[arg-type]  # none is None
    return [b"\0\0\0\x10" + digits[at : at + 16] for at in range(0, len(digits), 16)]


def timestamptz(values: Sequence[datetime | None]) -> list[bytes]:
    return [_NULL if v is None else _int8(8, (v - _EPOCH) // _US) for v in values]


def milliseconds(values: Sequence[int]) -> list[bytes]:
    """Of timestamps, as milliseconds since 1970; none may be None."""
    return [_int8(8, v * 1000 - _EPOCH_US) for v in values]


def smallint(values: Sequence[int | None]) -> list[bytes]:
    return [_NULL if v is None else _int2(2, v) for v in values]


def integer(values: Sequence[int | None]) -> list[bytes]:
    return [_NULL if v is None else _int4(4, v) for v in values]


def bigint(values: Sequence[int | None]) -> list[bytes]:
    return [_NULL if v is None else _int8(8, v) for v in values]


def boolean(values: Sequence[bool | None]) -> list[bytes]:
    return [_NULL if v is None else _bool(1, v) for v in values]


def few(kind: Kind) -> Kind:
    """A column in which few values come again and again: each is put into its form once."""

    def encoded(values: Sequence[Any]) -> list[bytes]:
        distinct = list(set(values))
        known = dict(zip(distinct, kind(distinct), strict=True))
        return list(map(known.__getitem__, values))

    return encoded


@dataclass(frozen=True, slots=True)
class Copy:
    """Some columns of a table, and of which type each of them is."""

    table: str
    kinds: Mapping[str, Kind]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of a row's values."""
        return tuple(self.kinds)

    def encoded(self, rows: Sequence[tuple[object, ...]]) -> Pieces:
        """The rows as COPY sends them; nothing where they are too few."""
        return whole(self.each(rows)) if len(rows) >= MANY else ()

    def pieces(self, rows: Iterable[tuple[object, ...]]) -> Iterator[bytes]:
        """The same piece by piece: each is made when it is asked for, while Postgres writes the last."""
        left = iter(rows)
        yield _BEGIN
        while some := list(islice(left, _PIECE)):
            yield b"".join(self.each(some))
        yield _END

    def each(self, rows: Sequence[tuple[object, ...]]) -> list[bytes]:
        """The rows in their binary form, for `whole`."""
        return self.joined(list(zip(*rows, strict=True))) if rows else []

    def joined(self, columns: Sequence[Sequence[Any]]) -> list[bytes]:
        """The same of the values of each column."""
        fields = [kind(column) for kind, column in zip(self.kinds.values(), columns, strict=True)]
        begin = len(fields).to_bytes(2, "big")
        return list(map(b"".join, zip(repeat(begin, len(fields[0])), *fields, strict=True)))

    async def sent(self, conn: asyncpg.Connection, data: Pieces, *, hopeful: bool = False) -> bool:
        """Add new rows, within the caller's transaction.

        Args:
            conn: to Postgres.
            data: what `encoded` or `pieces` made.
            hopeful: spare the savepoint, and its two round trips.

        Returns:
            False, and nothing is written, where there were too few of them, or one is there already.

        Raises:
            UniqueViolationError: one is there already, with ``hopeful``: the transaction is over.
        """
        if not data:
            return False
        try:
            async with nullcontext() if hopeful else conn.transaction():
                await conn.copy_to_table(
                    self.table, source=_each(data), columns=self.columns, format="binary"
                )
        except asyncpg.UniqueViolationError:
            if hopeful:
                raise
            return False
        return True


def whole(rows: Sequence[bytes]) -> Pieces:
    """Rows as COPY sends them; nothing where they are too few."""
    return (b"".join((_BEGIN, *rows, _END)),) if len(rows) >= MANY else ()


async def _each(data: Pieces) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece
        await asyncio.sleep(0)  # it leaves now
