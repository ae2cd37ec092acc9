"""Facts through real streams: appended, projected, trimmed as they go; and what memory Redis then uses."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import asyncpg

from ops.redis import Client
from ops.settings import Settings
from projections.batch import Fact
from projections.projector import Projector, read_models
from projections.trimmer import EVERY, Trimmer
from scale.generator import facts, now
from schema.codec import PlainCodec
from schema.keys import GROUP, Keys

KEYS = Keys(0)
Figures = dict[str, Any]


def batched(some: Iterable[Fact], size: int) -> Iterator[list[Fact]]:
    """Lists of at most ``size`` (itertools has it from Python 3.12 on)."""
    source = iter(some)
    while chunk := list(islice(source, size)):
        yield chunk


async def put(redis: Client, some: Iterable[Fact]) -> int:
    """Facts into the streams, webhooks delivered to and acknowledged by the processors' group; how many."""
    number = 0
    for chunk in batched(some, 1_000):
        async with redis.pipeline(transaction=False) as pipe:
            for fact in chunk:
                pipe.xadd(KEYS.webhooks if fact.stream == "webhooks" else KEYS.outcomes, fact.fields)
            await pipe.execute()
        rows = await redis.xreadgroup(GROUP, "scale", {KEYS.webhooks: ">"}, count=1_000)
        if rows:
            await redis.xack(KEYS.webhooks, GROUP, *(entry_id for entry_id, _ in rows[0][1]))
        number += len(chunk)
    return number


async def streams(conn: asyncpg.Connection, redis: Client, webhooks: int) -> Figures:
    """The projector over the streams, trimming as it goes; Redis's memory after each tenth of the webhooks.

    Of 200,000 webhooks as many entries stay as by default, of fewer in proportion: a tenth of them fills it.
    The facts are appended as they are, without the keys that have a time to live (docs/record.md lists them):
    those end by the clock, whatever is trimmed.
    """
    made = Projector(
        conn, redis, partitions=1, batch=Settings().projector_batch, models=read_models(PlainCodec())
    )
    keep = min(Settings().trim_keep, webhooks // 20)
    trimmer = Trimmer(redis, Settings(trim_keep=keep), time.time, every=min(EVERY, keep // 10))
    source = iter(facts(webhooks, now() - timedelta(hours=6), now(), seed=2))
    tenth = webhooks * 321 // 1000  # facts
    memory, projected, took = {}, 0, 0.0
    for turn in range(10):
        await put(redis, source if turn == 9 else islice(source, tenth))
        begun = time.perf_counter()
        while number := await made.poll_once(0):
            await trimmer.projected(number, made.checkpoints)
            projected += number
        took += time.perf_counter() - begun
        memory[projected] = (await redis.info("memory"))["used_memory"]
    return {
        "projected_per_second": round(projected / took),
        "projected": projected,
        "xlen": {s: await redis.xlen(s) for s in (KEYS.webhooks, KEYS.outcomes)},
        "redis_bytes_after": memory,
        "last_to_first": round(memory[max(memory)] / memory[min(memory)], 3),
    }
