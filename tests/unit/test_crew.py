"""The crew: as many leads in work at once as there may be, each followed by the next at once."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from support_work import work

from processor.crew import Crew
from processor.work import Work

MOST = 3


class Leads:
    """What the crew works on: each lead until it is told to end."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.broken: set[str] = set()
        self.most = 0
        self._now: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()

    async def work_on(self, work: Work) -> None:
        lead, end = work.event.lead_id, asyncio.Event()
        self.order.append(lead)
        self._now[lead] = end
        self.most = max(self.most, len(self._now))
        self._changed.set()
        try:
            if lead in self.broken:
                raise RuntimeError("a bug")
            await end.wait()
        finally:
            del self._now[lead]
            self._changed.set()

    @property
    def now(self) -> set[str]:
        return set(self._now)

    def end(self, lead: str) -> None:
        self._now[lead].set()

    async def until(self, *leads: str) -> None:
        """Until these are in work, and no others."""
        await self._until(lambda: self.now == set(leads))

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def end_when_begun(self, lead: str) -> None:
        await self._until(lambda: lead in self.now)
        self.end(lead)


@pytest.fixture
def leads():
    return Leads()


@pytest.fixture
async def crew(leads):
    made = Crew(MOST, leads.work_on)
    yield made
    await made.disband()


async def test_no_more_are_in_work_than_may_be(crew, leads):
    """However many wait, and in the order in which they came."""
    for number in range(3 * MOST):
        crew.put(work(number))
    await leads.until("lead-0", "lead-1", "lead-2")
    leads.end("lead-1")
    await leads.until("lead-0", "lead-2", "lead-3")
    for number in (0, 2, 3, 4, 5, 6, 7, 8):
        await leads.end_when_begun(f"lead-{number}")
    await leads.until()
    assert leads.order == [f"lead-{number}" for number in range(3 * MOST)]
    assert leads.most == MOST


async def test_a_worker_goes_on_without_a_turn_of_the_loop(leads):
    """Where one lead ends the next is begun before anything else runs."""
    said: list[str] = []

    async def at_once(one: Work) -> None:
        said.append(one.event.lead_id)
        asyncio.get_running_loop().call_soon(said.append, "turn")

    crew = Crew(1, at_once)
    for number in range(3):
        crew.put(work(number))
    await asyncio.sleep(0)
    assert said == ["lead-0", "lead-1", "lead-2"]


async def test_a_lead_in_work_is_dropped_alone(crew, leads):
    """Its worker goes on with the next; what it does then is not cancelled."""
    works = [work(number) for number in range(MOST + 1)]
    for one in works:
        crew.put(one)
    await leads.until("lead-0", "lead-1", "lead-2")
    assert not crew.drop(works[1])
    await leads.until("lead-0", "lead-2", "lead-3")
    leads.end("lead-3")
    await leads.until("lead-0", "lead-2")


async def test_a_lead_that_waits_is_dropped_before_it_begins(crew, leads):
    works = [work(number) for number in range(MOST + 2)]
    for one in works:
        crew.put(one)
    await leads.until("lead-0", "lead-1", "lead-2")
    assert crew.drop(works[3])
    leads.end("lead-0")
    await leads.until("lead-1", "lead-2", "lead-4")
    assert "lead-3" not in leads.order


async def test_a_broken_lead_does_not_stop_its_worker(crew, leads):
    leads.broken.add("lead-0")
    with capture_logs() as said:
        for number in range(MOST + 1):
            crew.put(work(number))
        await leads.until("lead-1", "lead-2", "lead-3")
    assert [(line["event"], line["lead_id"], line["kind"]) for line in said] == [
        ("work.broken", "lead-0", "RuntimeError")
    ]


async def test_a_crew_that_had_nothing_to_do_works_again(crew, leads):
    for number in range(2):
        crew.put(work(number))
        await leads.until(f"lead-{number}")
        leads.end(f"lead-{number}")
        await leads.until()
    assert leads.order == ["lead-0", "lead-1"]


async def test_disbanding_ends_all(crew, leads):
    for number in range(2 * MOST):
        crew.put(work(number))
    await leads.until("lead-0", "lead-1", "lead-2")
    await crew.disband()
    assert leads.now == set()
    assert len(leads.order) == MOST
