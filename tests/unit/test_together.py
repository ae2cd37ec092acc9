"""Work that ends together even where a cancellation is lost, and services that never become ready."""

import asyncio

import pytest

from ops.dev.errors import DevServerError
from ops.dev.readiness import Readiness
from ops.together import end_all, outlasted, together, until


async def deaf(lost: int, started: asyncio.Event) -> None:
    """Swallows so many cancellations, as `asyncio.wait_for` of Python 3.11 can."""
    started.set()
    for _ in range(lost):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def test_a_lost_cancellation_is_repeated() -> None:
    """A task that loses two cancellations ends all the same."""
    started = asyncio.Event()
    task = asyncio.create_task(deaf(2, started))
    await started.wait()
    await end_all([task])
    assert task.cancelled()


async def test_our_own_cancellation_waits_for_the_others_end() -> None:
    """Whoever is cancelled while ending others leaves none behind, and is cancelled then."""
    started = asyncio.Event()
    task = asyncio.create_task(deaf(1, started))
    await started.wait()
    ending = asyncio.create_task(end_all([task]))
    asyncio.get_running_loop().call_soon(ending.cancel)
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert task.cancelled()


async def test_the_first_error_ends_all() -> None:
    """One fails: the others are ended, and its error is raised as it is."""
    started = asyncio.Event()

    async def failing() -> None:
        await started.wait()
        raise DevServerError("gone")

    with pytest.raises(DevServerError, match="gone"):
        await together(deaf(1, started), failing())
    assert [t for t in asyncio.all_tasks() if "deaf" in str(t.get_coro())] == []


async def test_stop_ends_work_and_work_ends_by_itself() -> None:
    """Both ways out; an error of the work is raised."""
    stop, started = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    await until(stop, deaf(1, started))
    await until(asyncio.Event(), asyncio.sleep(0))

    async def failing() -> None:
        raise DevServerError("gone")

    with pytest.raises(DevServerError, match="gone"):
        await until(asyncio.Event(), failing())


async def test_what_cannot_be_stopped_is_waited_for() -> None:
    """However often its waiter is cancelled, it has ended before the waiter has."""
    work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiter = asyncio.create_task(outlasted(work))
    for _ in range(3):
        await asyncio.sleep(0)
        waiter.cancel()
    await asyncio.sleep(0)
    assert not waiter.done()
    work.set_result("made")
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await outlasted(work) == "made"


async def test_ready_once_the_first_words_are_heard() -> None:
    """A service without a door is ready when it says so."""
    readiness = Readiness({}, {"processor-1": "processor.started"})
    readiness.heard("processor-2", '{"event": "processor.started"}')
    asyncio.get_running_loop().call_soon(readiness.heard, "processor-1", '{"event": "processor.started"}')
    await readiness.wait(30)


async def test_a_service_that_keeps_ending_is_given_up_with_its_last_words() -> None:
    """Four ends while starting are enough; the text says why."""
    readiness = Readiness({}, {"projector": "projector.active"})
    readiness.heard("projector", "ImportError: no module")
    for _ in range(4):
        readiness.died("projector")
    with pytest.raises(DevServerError, match=r"projector ended 4 times.*ImportError: no module"):
        await readiness.wait(30)


async def test_who_is_late_is_named() -> None:
    """After the deadline the text names who is missing."""
    with pytest.raises(DevServerError, match="projector"):
        await Readiness({}, {"projector": "projector.active"}).wait(0.01)
