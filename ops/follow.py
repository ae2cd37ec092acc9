"""Follows the streams live: blocking reads over all partitions, through restarts of Redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import ResponseError

from ops.redis import Client, blocking_client, command_client, translated
from ops.redis_streams import StreamReads
from ops.unprojected import position
from schema.errors import StorageUnavailable
from schema.events import Event, EventError, decode, flat_fields, text_fields
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


async def follow(
    redis_url: str, partitions: int, streams: Sequence[Stream], last: int = 0
) -> AsyncIterator[Followed]:
    """Every entry appended from now on, without end; while Redis is away it waits.

    Args:
        redis_url: Redis.
        partitions: how many partitions there are.
        streams: which streams of each.
        last: so many of the newest entries that are there already come first.
    """
    names = stream_names(partitions, streams)
    client = blocking_client(redis_url, block_s=_BLOCK_S, at_once=partitions)
    reads = StreamReads(client)
    marks: dict[str, str] = {}
    try:
        while True:
            try:
                if not marks:
                    found, marks = await newest(client, names, last)
                    last = 0  # shown once, also where Redis goes away and comes back empty
                    for followed in found:
                        yield followed
                entries = await _read(reads, marks)
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
        await reads.close()
        await client.aclose()


async def newest_only(
    redis_url: str, partitions: int, streams: Sequence[Stream], last: int
) -> AsyncIterator[Followed]:
    """The newest entries that are there already, oldest first.

    Raises:
        StorageUnavailable: Redis is away.
    """
    client = command_client(redis_url)
    try:
        found, _ = await newest(client, stream_names(partitions, streams), last)
    finally:
        await client.aclose()
    for followed in found:
        yield followed


def stream_names(partitions: int, streams: Sequence[Stream]) -> list[str]:
    """The keys of these streams in all partitions."""
    return [getattr(Keys(p), stream) for p in range(partitions) for stream in streams]


async def newest(client: Client, names: list[str], last: int) -> tuple[list[Followed], dict[str, str]]:
    """The ``last`` newest entries of all these streams, oldest first, and each stream's present end.

    The end is a fixed id, unlike `$`, so that no entry falls between two reads.

    Raises:
        StorageUnavailable: Redis is away.
    """
    ends, found = {}, []
    for name in names:
        with translated("looking for a stream's end"):
            rows: Any = await client.xrevrange(name, count=max(1, last))
        ends[name] = rows[0][0].decode() if rows else "0"
        for entry_id, fields in rows if last else ():
            with suppress(EventError):
                found.append(Followed(name, entry_id.decode(), decode(text_fields(fields))))
    found.sort(key=lambda followed: position(followed.entry_id))
    return found[-last:] if last else [], ends


async def _read(reads: StreamReads, marks: dict[str, str]) -> list[tuple[str, str, dict[str, str]]]:
    with translated("following the streams"):
        try:
            streams = await reads.read(marks, count=_MOST, block_s=_BLOCK_S)
        except ResponseError as error:
            if "UNBLOCKED" not in str(error):
                raise
            return []  # a stream was deleted under us; it will come again
    return [
        (key, entry_id.decode(), flat_fields(items))
        for key, entries in streams
        for entry_id, items in entries
    ]
