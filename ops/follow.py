"""Follows the streams live: one blocking XREAD over all partitions, through restarts of Redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import ResponseError

from ops.redis import Client, blocking_client, translated
from schema.errors import StorageUnavailable
from schema.events import Event, EventError, decode, text_fields
from schema.keys import Keys

_BLOCK_S = 30.0
_PAUSE_S = 0.5
_MOST = 500

Stream = Literal["webhooks", "outcomes"]


@dataclass(frozen=True, slots=True)
class Followed:
    """One entry as it came: the stream's key, the entry's id and its event."""

    key: str
    entry_id: str
    event: Event


async def follow(redis_url: str, partitions: int, streams: Sequence[Stream]) -> AsyncIterator[Followed]:
    """Every entry appended from now on, without end; while Redis is away it waits.

    Args:
        redis_url: Redis.
        partitions: how many partitions there are.
        streams: which streams of each.
    """
    names = [getattr(Keys(p), stream) for p in range(partitions) for stream in streams]
    client = blocking_client(redis_url, block_s=_BLOCK_S)
    marks: dict[str, str] = {}
    try:
        while True:
            try:
                marks = marks or await _ends(client, names)
                entries = await _read(client, marks)
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_S)  # being restarted: what is appended meanwhile is read after it
                continue
            for key, entry_id, flat in entries:
                marks[key] = entry_id
                try:
                    event = decode(flat)
                except EventError:
                    continue  # written by a newer version or by hand; the projector reports it
                yield Followed(key, entry_id, event)
    finally:
        await client.aclose()


async def _ends(client: Client, names: list[str]) -> dict[str, str]:
    """Each stream's present end: a fixed id, unlike `$`, so that no entry falls between two reads."""
    found = {}
    for name in names:
        with translated("looking for a stream's end"):
            last: Any = await client.xrevrange(name, count=1)
        found[name] = last[0][0].decode() if last else "0"
    return found


async def _read(client: Client, marks: dict[Any, Any]) -> list[tuple[str, str, dict[str, str]]]:
    with translated("following the streams"):
        try:
            streams: Any = await client.xread(marks, count=_MOST, block=round(_BLOCK_S * 1000))
        except ResponseError as error:
            if "UNBLOCKED" not in str(error):
                raise
            return []  # a stream was deleted under us; it will come again
    return [
        (key.decode(), entry_id.decode(), text_fields(fields))
        for key, entries in streams
        for entry_id, fields in entries
    ]
