"""Ends: nearly all are seen to where the reply comes in; any other gets a task of its own."""

import asyncio
import random
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from processor import ending
from processor.ends import Ends
from processor.executor import Executor
from processor.pipeline import Result
from processor.policy import BackoffPolicy
from processor.rhythm import Rhythm
from processor.work import Work
from schema.calls import ENDED, Entry, Finished, Finishing, Lease
from schema.codec import PlainCodec
from schema.errors import StorageUnavailable
from schema.events import WebhookAccepted

NEXT = Finished(held=True, next=("2-0", {}))


class Store:
    """Answers each try with what it is told, in order; an error is raised."""

    rhythm = Rhythm()

    def __init__(self, *answers: Finished | Exception) -> None:
        self._answers = list(answers)

    def finish(self, _item: Finishing) -> asyncio.Future[Finished]:
        recorded = asyncio.get_running_loop().create_future()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            recorded.set_exception(answer)
        else:
            recorded.set_result(answer)
        return recorded


class World:
    """The ends of one engine, and what it was told of them."""

    def __init__(self, *answers: Finished | Exception) -> None:
        self.over: list[Work] = []
        self.then: list[Finished] = []
        self.broken = False
        store = Store(*answers)
        policy = BackoffPolicy(1.0, 2.0, 8)
        executor = Executor(None, store, PlainCodec(), policy, random.Random(1))  # type: ignore[arg-type]
        self.ends = Ends(store, executor, over=self.over.append, then=self._follow)  # type: ignore[arg-type]

    async def _follow(self, _item: Finishing, done: Finished) -> None:
        if self.broken:
            raise RuntimeError("a bug")
        self.then.append(done)


@pytest.fixture
def work():
    event = WebhookAccepted(
        event_id="e",
        lead_id="lead",
        action="on_create_lead",
        version="",
        source="webhook",
        received_at=datetime.now(UTC),
        payload="{}",
    )
    return Work(Entry("1-0", event), Lease("key", "me", 1), 1, False, {}, 30.0, 0.0)


def good(work: Work) -> Finishing:
    return ending.well(work, Result("recorded"), PlainCodec())


async def test_a_good_end_takes_no_task(work):
    world = World(ENDED)
    before = asyncio.all_tasks()
    world.ends.record(work, good(work))
    assert work in world.ends
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert (world.over, work in world.ends, world.then) == ([work], False, [])


@pytest.mark.parametrize("answer", [NEXT, Finished(held=True, lost=("2-0",))])
async def test_what_follows_an_end_is_done(work, answer):
    """The lead's next entry is in our hands, or one was lost."""
    world = World(answer)
    world.ends.record(work, good(work))
    await asyncio.sleep(0)
    await world.ends.settled()
    assert (world.over, world.then) == ([work], [answer])


async def test_an_end_that_redis_did_not_take_is_recorded_later(work):
    world = World(StorageUnavailable("cut"), ENDED)
    world.ends.record(work, good(work))
    await asyncio.sleep(0)
    assert (world.over, work in world.ends) == ([], True)
    await world.ends.settled()
    assert (world.over, world.then) == ([work], [ENDED])


async def test_an_end_without_a_lease_is_said_and_nothing_follows(work):
    world = World(Finished(held=False))
    with capture_logs() as said:
        world.ends.record(work, good(work))
        await asyncio.sleep(0)
        await world.ends.settled()
    assert [line["event"] for line in said] == ["lease.lost"]
    assert (world.over, world.then) == ([work], [])


async def test_ends_that_were_given_up_are_seen_to_no_more(work):
    """The engine hands such leads back; a reply that comes late changes nothing here."""
    world = World(ENDED)
    world.ends.record(work, good(work))
    await world.ends.give_up()
    await asyncio.sleep(0)
    assert (world.over, work in world.ends) == ([], False)


async def test_what_breaks_after_an_end_is_said(work):
    world = World(NEXT)
    world.broken = True
    with capture_logs() as said:
        world.ends.record(work, good(work))
        await asyncio.sleep(0)
        await world.ends.settled()
        await asyncio.sleep(0)
    assert [(line["event"], line["lead_id"]) for line in said] == [("work.broken", "lead")]
    assert world.over == [work]
