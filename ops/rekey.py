"""Where sealed texts lie in Postgres, which keys they need, and how they are wrapped anew.

Rewrapping leaves the ciphertext as it is and changes the text only where nobody else has changed it
meanwhile, in small transactions: readers find either form, and each opens. All copies of a text become the
same again, so a rebuild from the archive still equals the tables. Messages and findings that were stored in
clear before there were keys are sealed on the way; payloads in clear are left to RAW_RETENTION_HOURS.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import asyncpg
import orjson

from ops.postgres import translated
from ops.seal import PREFIX, SealingCodec, key_of
from schema.codec import SEALED

BATCH = 500


@dataclass(frozen=True, slots=True)
class Place:
    """A column that may hold sealed texts.

    Attributes:
        key: the table's primary key.
        kind: ``text``; ``json_text``, a jsonb string; or ``object``, a jsonb object of texts.
        event: SQL of the event id to which texts found in clear are to be bound; empty: those stay in clear.
        fields: of an object, the texts that are meant by that.
    """

    table: str
    key: tuple[str, ...]
    column: str
    kind: str = "text"
    event: str = ""
    fields: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def text(self) -> str:
        """SQL: the stored form as text."""
        return f"{self.column} #>> '{{}}'" if self.kind == "json_text" else f"{self.column}::text"

    def older(self, newest: str) -> str:
        """SQL condition: it holds a text that another key than ``newest`` wraps, or one to be sealed."""
        clear = [
            f" OR ({text} <> '' AND {text} NOT LIKE '{SEALED}%')"
            for text in ([f"{self.column}->>'{name}'" for name in self.fields] or [self.column])
            if self.event
        ]
        return f"({self._wrapped_older(newest)}{''.join(clear)})"

    def _wrapped_older(self, newest: str) -> str:
        if self.kind == "object":
            return f"{self.column}::text ~ '\"{PREFIX}(?!{newest}:)'"
        return f"{self.text} LIKE '{PREFIX}%' AND {self.text} NOT LIKE '{PREFIX}{newest}:%'"


_LOG = ("recorded_at", "partition", "stream", "entry_id")
# Every column that the codec's texts are written to; the persons' own columns are sealed under `data_keys`.
PLACES = (
    Place("data_keys", ("name",), "wrapped"),
    Place("event_log", _LOG, "payload"),
    Place("event_log", _LOG, "fields", "object", "event_id::text", ("message", "enrichment")),
    Place("webhook_events", ("id",), "raw_payload", "json_text"),
    Place("webhook_events", ("id",), "message", event="id::text"),
    Place("webhook_duplicates", ("partition", "entry_id"), "payload"),
    Place("ingress_spool", ("id",), "payload"),
    Place("forwards", ("id",), "body"),
)
_SETS = {
    "text": "{column} = {new}::text WHERE {key} AND {column} = {old}::text",
    "json_text": "{column} = to_jsonb({new}::text) WHERE {key} AND {column} = to_jsonb({old}::text)",
    "object": "{column} = {column} || {new}::jsonb WHERE {key} AND {column} @> {old}::jsonb",
}


async def used(conn: asyncpg.Connection, place: Place) -> Counter[str]:
    """How many texts need which key, by key id.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    found: Counter[str] = Counter()
    pattern = f"{PREFIX}([0-9a-f]{{8}}):"
    sql = (
        f"SELECT m[1] AS key, count(*) AS number FROM {place.table},"  # noqa: S608 -- our own names
        f" regexp_matches({place.text}, $1, 'g') AS m WHERE {place.column} IS NOT NULL GROUP BY 1"
    )
    anchored = pattern if place.kind == "object" else f"^{pattern}"
    with translated(f"counting the keys of {place.name}"):
        for row in await conn.fetch(sql, anchored, timeout=None):
            found[row["key"]] += row["number"]
    return found


async def older(conn: asyncpg.Connection, place: Place, codec: SealingCodec) -> int:
    """How many rows of a place need an older key.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    with translated(f"counting what is to be rewrapped in {place.name}"):
        sql = f"SELECT count(*) FROM {place.table} WHERE {place.older(codec.newest)}"  # noqa: S608
        number: int = await conn.fetchval(sql, timeout=None)
    return number


async def rewrap(
    reader: asyncpg.Connection,
    writer: asyncpg.Connection,
    place: Place,
    codec: SealingCodec,
    progress: Callable[[int], None],
) -> None:
    """Wrap everything in a place with the newest key.

    Args:
        reader: holds a cursor over the place meanwhile.
        writer: changes it, batch by batch.
        place: where.
        codec: with the older keys and the newest.
        progress: gets the number of rows that a batch looked at.

    Raises:
        KeyMissing: a text needs a key that is not in PAYLOAD_KEYS; what was done so far stays done.
        StorageUnavailable: Postgres is away; likewise.
    """
    keys = " AND ".join(f"{name} = ${n}" for n, name in enumerate(place.key, 3))
    update = f"UPDATE {place.table} SET " + _SETS[place.kind].format(  # noqa: S608 -- our own names
        column=place.column, new="$1", old="$2", key=keys
    )
    with translated(f"rewrapping {place.name}"):
        async for rows in _batches(reader, place, codec.newest):
            changes = [(*_change(place, row, codec), *(row[k] for k in place.key)) for row in rows]
            async with writer.transaction():
                await writer.executemany(update, changes)
            progress(len(rows))


async def _batches(
    reader: asyncpg.Connection, place: Place, newest: str
) -> AsyncIterator[list[asyncpg.Record]]:
    names = ", ".join(place.key)
    sql = (
        f"SELECT {names}, {place.text} AS stored, {place.event or 'NULL'} AS bound_to"  # noqa: S608 -- our own
        f" FROM {place.table} WHERE {place.older(newest)}"
    )
    async with reader.transaction():
        cursor = await reader.cursor(sql)
        while rows := await cursor.fetch(BATCH):
            yield rows


def _change(place: Place, row: asyncpg.Record, codec: SealingCodec) -> tuple[str, str]:
    """The new value and the old, as the place's statement takes them."""
    stored, event_id = row["stored"], row["bound_to"]

    def fresh(name: str, text: str) -> str:
        wanted = event_id and text and not text.startswith(SEALED)
        return codec.sealed_later(event_id, name, text) if wanted else codec.rewrapped(text)

    if place.kind != "object":
        return fresh(place.column, stored), stored
    texts: dict[str, str] = orjson.loads(stored)
    held = {k: v for k, v in texts.items() if key_of(v) not in ("", codec.newest) or k in place.fields}
    changed = {name: fresh(name, text) for name, text in held.items()}
    return orjson.dumps(changed).decode(), orjson.dumps(held).decode()
