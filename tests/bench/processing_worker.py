"""A processing worker in a process of its own: ``python -m bench.processing_worker KIND COUNT CONCURRENCY``.

KIND is ``bare`` (read 100, ack in one pipeline, nothing else), ``noop`` (our engine with a pipeline that does
nothing) or ``step`` (our engine with a pipeline that waits 20 ms). Ends after COUNT entries, or on SIGTERM
where COUNT is 0. Prints entries and seconds as JSON.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time

import uvloop

from ops.log import setup_logs
from ops.redis import blocking_client, command_client
from ops.settings import Settings
from processor.engine import Engine
from processor.executor import Executor
from processor.pipeline import Result
from processor.policy import BackoffPolicy
from processor.store import LeadStore
from schema.codec import PlainCodec
from schema.keys import GROUP, Keys

STEP_S = 0.02


class Counted:
    """A pipeline that counts, and waits if told to; sets the stop event at the last entry."""

    def __init__(self, count: int, wait_s: float, stop: asyncio.Event) -> None:
        self._left = count
        self._wait_s = wait_s
        self._stop = stop

    async def run(self, work):
        if self._wait_s:
            await asyncio.sleep(self._wait_s)
        self._left -= 1
        if not self._left:
            self._stop.set()
        return Result("recorded")


async def bare(count: int, url: str) -> float:
    """What Redis and its client can do at all."""
    client = command_client(url)
    begun = time.perf_counter()
    done = 0
    while done < count:
        reply = await client.xreadgroup(GROUP, "bare", {Keys(0).webhooks: ">"}, count=100, block=1000)
        rows = reply[0][1]
        async with client.pipeline(transaction=False) as pipe:
            for entry_id, _ in rows:
                pipe.xack(Keys(0).webhooks, GROUP, entry_id)
            await pipe.execute()
        done += len(rows)
    took = time.perf_counter() - begun
    await client.aclose()
    return took


async def ours(count: int, url: str, concurrency: int, wait_s: float) -> float:
    """The engine as it is, over a pipeline of no work."""
    # Without limits outside: with ten calls a minute, an instance would hold only ten leads.
    limits = dict.fromkeys(("c2s_rate_limit", "diretrix_rate_limit", "work_api_rate_limit"), "0")
    settings = Settings.model_validate({"redis_url": url, "processor_concurrency": concurrency, **limits})
    commands, reader = command_client(url), blocking_client(url, block_s=settings.block_secs)
    store = LeadStore(Keys(0), commands, reader, settings)
    stop = asyncio.Event()
    policy = BackoffPolicy(settings.backoff_base_secs, settings.backoff_max_secs, settings.max_attempts)
    executor = Executor(Counted(count, wait_s, stop), store, PlainCodec(), policy, random.Random(1))

    async def lost(entry_ids) -> None:
        raise AssertionError(entry_ids)

    engine = Engine(store, executor, commands, settings, on_lost=lost, regroup=store.ensure_group)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    begun = time.perf_counter()
    await engine.run(stop)
    took = time.perf_counter() - begun
    await commands.aclose()
    await reader.aclose()
    return took


async def main(kind: str, count: int, concurrency: int) -> None:
    url = os.environ["REDIS_URL"]
    if kind == "bare":
        took = await bare(count, url)
    else:
        took = await ours(count, url, concurrency, STEP_S if kind == "step" else 0.0)
    print(json.dumps({"entries": count, "seconds": took}), file=sys.stderr)


if __name__ == "__main__":
    setup_logs("info", "json", service="processor", instance="bench")
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
