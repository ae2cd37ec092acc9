"""The number of partitions is changed while webhooks come: 1 -> 3 -> 2, one process after another."""

import asyncio
from itertools import pairwise

import pytest
from support_ingress import lead
from support_partitions import ALL, DOORS, ENDS, PROCESSORS, Fleet, fleet
from support_redis import layout
from support_system import fresh_database
from support_waiting import until

from ops.partitions import clear, standings
from ops.postgres import create_pool
from ops.recover import Recovery
from ops.settings import Settings
from processor.pipeline import Pipeline, Result
from processor.work import Work
from projections.rebuild.__main__ import rebuild
from schema.identity import Partitions
from schema.keys import Keys

LEADS = {"one": 60, "cluster": 20}
WAY = (1, 3, 2)


@pytest.fixture
def at_once(monkeypatch) -> list[str]:
    """Leads that were worked on twice at the same moment, seen where the work begins."""
    seen: list[str] = []
    working: set[str] = set()
    run = Pipeline.run

    async def observed(pipeline: Pipeline, work: Work) -> Result:
        lead_id = work.event.lead_id
        if lead_id in working:
            seen.append(lead_id)
        working.add(lead_id)
        try:
            return await run(pipeline, work)
        finally:
            working.discard(lead_id)

    monkeypatch.setattr(Pipeline, "run", observed)
    return seen


class Traffic:
    """A create and then updates of every lead, each sent once the one before was answered, to either door."""

    def __init__(self, running: Fleet, leads: int) -> None:
        self.running = running
        self.sent: dict[str, list[str]] = {f"lead-{n}": [] for n in range(leads)}
        self.bodies: list[bytes] = []

    async def round(self, *doors: str) -> None:
        """One more webhook of each lead to each of the doors, in that order."""
        await asyncio.gather(*(self._of(name, doors) for name in self.sent))

    async def _of(self, name: str, doors: tuple[str, ...]) -> None:
        for door in doors:
            count = len(self.sent[name])
            body = lead(name, "on_update_lead" if count else "on_create_lead", n=count)
            answer = await self.running.post(door, body)
            assert answer.json["status"] == "accepted"
            self.sent[name].append(answer.json["event_id"])
            self.bodies.append(body)

    async def repeated(self, *doors: str, status: str = "duplicate") -> None:
        """The first of each lead and the last ones once more, to each of the doors."""
        leads = len(self.sent)
        bodies = [*self.bodies[:leads], *self.bodies[-3 * leads :]]
        answers = await asyncio.gather(*(self.running.post(door, body) for door in doors for body in bodies))
        assert {answer.json["status"] for answer in answers} == {status}

    async def all_on_record(self) -> None:
        wanted = sum(len(events) for events in self.sent.values())
        count = "SELECT count(*) FROM webhook_events WHERE status = 'success'"
        await until(lambda: self.running.record.fetchval(count), lambda found: found == wanted, 120)


async def change(traffic: Traffic, before: int, after: int) -> None:
    """As docs/scaling.md has it, with traffic after every step, and a backlog in both places."""
    running = traffic.running
    for name in ALL:
        await running.replace(name, before, after)
        await traffic.round(DOORS[0])
    for name in PROCESSORS:
        await running.stop(name)
    await running.replace(DOORS[0], after, before)
    await traffic.round(DOORS[0], DOORS[1], DOORS[0])  # to the new place, the old one, and the new one
    await traffic.repeated(*DOORS)
    await running.replace(PROCESSORS[0], before, after)
    await running.replace(PROCESSORS[1], after, before)
    await traffic.round(DOORS[1], DOORS[0])
    for name in (DOORS[1], PROCESSORS[0], "projector"):
        await running.replace(name, after, before)
        await traffic.round(DOORS[1])
    await traffic.repeated(*DOORS)
    settings = running.counting(after, before)
    await until(
        lambda: standings(running.redis, running.record, settings),
        lambda found: all(one.drained for one in found),
        60,
    )
    await dedup_keys_come_home(running, settings)
    for name in (*DOORS, *PROCESSORS, "projector"):
        await running.replace(name, after)
    await traffic.repeated(*DOORS)


@pytest.mark.parametrize("kind", ["one", "cluster"])
async def test_the_number_of_partitions_changes_under_traffic(
    kind, redis_url, postgres_server, at_once, tmp_path
):
    """One message a lead, order kept, repeats known, the record equal to what its archive says."""
    database_url, way = await fresh_database(postgres_server), WAY
    async with layout(kind, redis_url, tmp_path) as url, fleet(url, database_url) as running:
        for name in ALL:
            await running.start(name, way[0])
        traffic = Traffic(running, LEADS[kind])
        await traffic.round(*DOORS)
        for before, after in pairwise(way):
            await change(traffic, before, after)
        await traffic.round(*DOORS)
        await traffic.all_on_record()
        told = await running.told(max(way))
        for name, sent in traffic.sent.items():
            in_order(told[name], sent)
        held = sum(fields.get("code") == "lead_elsewhere" for one in told.values() for fields in one)
        assert not at_once
        assert held, "no webhook ever had to wait for one in its lead's other place"
        assert await running.messages() == dict.fromkeys(traffic.sent, 1)
        rows = await running.record.fetch("SELECT DISTINCT status, result FROM webhook_events")
        assert {row["status"] for row in rows} == {"success"}
        await what_is_left_is_cleared(running, way[-1])
        report = await rebuild(running.counting(way[-1]), check=True, quiet=True)
        assert (report.entries > 0, report.notes) == (True, [])
        assert await running.messages() == dict.fromkeys(traffic.sent, 1)


def in_order(told: list[dict[str, str]], sent: list[str]) -> None:
    """The lead's webhooks end in the order in which they were sent."""
    assert [fields["event_id"] for fields in told if fields["type"] in ENDS] == sent


async def dedup_keys_come_home(running: Fleet, settings: Settings) -> None:
    """`c2s recover`: no event is taken for lost that lies in its lead's other place."""
    pool = await create_pool(settings, min_size=0, max_size=2, application_name="test")
    done = await Recovery(running.redis, pool, settings).run()
    await pool.close()
    assert done.events == 0
    assert done.dedup_keys > 0


async def what_is_left_is_cleared(running: Fleet, number: int) -> None:
    """What the last change left behind goes."""
    settings = running.counting(number)
    gone = [one for one in await standings(running.redis, running.record, settings) if one.goes]
    assert [(one.partition, one.drained) for one in gone] == [(2, True)]
    assert await clear(running.redis, gone, Partitions(number)) == 1
    assert not await running.redis.exists(Keys(2).webhooks, Keys(2).outcomes, Keys(2).fence)
