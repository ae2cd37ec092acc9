"""Group commit: shared round trips, own answers."""

import asyncio

import pytest

from ops.batcher import Batcher


async def test_callers_during_a_flush_share_the_next():
    """The first flushes at once and alone; those who come meanwhile go together, in order."""
    begun, gate, batches = asyncio.Event(), asyncio.Event(), []

    async def flush(items):
        batches.append(list(items))
        begun.set()
        await gate.wait()
        return [item * 10 for item in items]

    batcher = Batcher(flush)
    first = asyncio.create_task(batcher.submit(1))
    await begun.wait()
    rest = [asyncio.create_task(batcher.submit(n)) for n in (2, 3, 4)]
    gate.set()
    assert await asyncio.gather(first, *rest) == [10, 20, 30, 40]
    assert batches == [[1], [2, 3, 4]]


async def test_a_failed_flush_fails_its_own_callers_only():
    """Each batch has its own fate."""

    async def flush(items):
        if 13 in items:
            raise RuntimeError("bad luck")
        return list(items)

    batcher = Batcher(flush, most=1)
    results = await asyncio.gather(*(batcher.submit(n) for n in (1, 13, 2)), return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], RuntimeError)
    assert results[2] == 2


async def test_one_after_the_other_never_hangs():
    """A caller that comes in the moment a flush ends starts its own."""

    async def flush(items):
        return list(items)

    batcher = Batcher(flush)
    async with asyncio.timeout(5):
        assert [await batcher.submit(n) for n in range(1000)] == list(range(1000))


async def test_a_cancelled_caller_leaves_the_others_alone():
    """Cancelling one waiter does not disturb the batch."""
    gate = asyncio.Event()

    async def flush(items):
        await gate.wait()
        return list(items)

    batcher = Batcher(flush)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert (await tasks[0], await tasks[2]) == (0, 2)


async def test_a_flush_waits_for_more_where_more_will_come():
    """Until somebody is in a hurry or the batch is full; then all go together."""
    flushed = []

    async def flush(items):
        flushed.append(list(items))
        return items

    batcher = Batcher(flush, most=4, gather_s=lambda: 3600.0)
    waiting = [batcher.put(1), batcher.put(2)]
    await asyncio.sleep(0)
    assert flushed == []
    assert await batcher.put(3, hurry=True) == 3
    assert flushed == [[1, 2, 3]]
    waiting += [batcher.put(n) for n in range(4, 8)]
    assert await asyncio.gather(*waiting) == [1, 2, 4, 5, 6, 7]
    assert flushed == [[1, 2, 3], [4, 5, 6, 7]]
