"""Follows the outcomes streams live: one blocking XREAD over all partitions, through restarts of Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from redis.exceptions import ResponseError

from ops.redis import Client, blocking_client, translated
from schema.errors import StorageUnavailable
from schema.events import Event, EventError, decode, text_fields
from schema.keys import Keys

_BLOCK_S = 30.0
_PAUSE_S = 0.5
_MOST = 500


async def outcomes(redis_url: str, partitions: int, *, since: str = "$") -> AsyncIterator[tuple[str, Event]]:
    """Every outcome from now on, as ``(entry id, event)``, without end.

    Args:
        redis_url: Redis.
        partitions: how many streams there are.
        since: entry id after which to begin; ``$`` for now, ``0`` for everything still in the streams.
    """
    client = blocking_client(redis_url, block_s=_BLOCK_S)
    try:
        marks: dict[str, str] | None = None
        while True:
            try:
                if marks is None:
                    marks = await _marks(client, partitions, since)
                entries = await _read(client, marks)
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_S)  # being restarted: what was appended meanwhile is read after it
                continue
            for key, entry_id, flat in entries:
                marks[key] = entry_id
                try:
                    yield entry_id, decode(flat)
                except EventError:
                    continue  # written by a newer version or by hand; the projector reports it
    finally:
        await client.aclose()


async def _marks(client: Client, partitions: int, since: str) -> dict[str, str]:
    """Where to begin in each stream: a fixed id, so that no entry falls between two reads."""
    names = [Keys(partition).outcomes for partition in range(partitions)]
    if since != "$":
        return dict.fromkeys(names, since)
    found = {}
    for name in names:
        with translated("looking for the end of the outcomes"):
            last: Any = await client.xrevrange(name, count=1)
        found[name] = last[0][0].decode() if last else "0"
    return found


async def _read(client: Client, marks: dict[Any, Any]) -> list[tuple[str, str, dict[str, str]]]:
    with translated("following the outcomes"):
        try:
            streams: Any = await client.xread(marks, count=_MOST, block=round(_BLOCK_S * 1000))
        except ResponseError as error:
            if "UNBLOCKED" not in str(error):
                raise
            return []  # the stream was deleted under us; it will come again
    return [
        (key.decode(), entry_id.decode(), text_fields(fields))
        for key, entries in streams
        for entry_id, fields in entries
    ]
