"""Leases of two running engines in virtual time: who keeps a lead, who takes it over, and when."""

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from schema.events import LeadProcessed, ProcessingStarted
from schema.identity import CREATE
from simulation.invariants import broken
from simulation.schedule import Schedule, webhook_of

LEASE_TTL_S, RECLAIM_IDLE_S = 30.0, 35.0  # as the settings have them
SEED = 0  # decides who gets the webhook, and every latency


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Scene(Schedule):
    """One webhook and two instances, with no other fault than the death of the lead's owner.

    Attributes:
        call_s: what each outside call takes.
        dies_after_s: when the owner is killed, in seconds since the webhook; None for never.
    """

    def __init__(self, call_s: float, dies_after_s: float | None = None) -> None:
        super().__init__(SEED)
        self.call_s = call_s
        self.dies_after_s = dies_after_s
        settings = self.host.settings
        assert (settings.lease_ttl_secs, settings.reclaim_idle_secs) == (LEASE_TTL_S, RECLAIM_IDLE_S)
        self.host.settings = settings.model_copy(update={"http_timeout_secs": call_s + 1})
        self.outside._quick_s = lambda: call_s

    async def _world(self) -> None:
        for name in ("p1", "p2"):
            self._start(name)
        await asyncio.sleep(1)
        took = await self._post(webhook_of("L1", CREATE, "v1"))
        assert took is not None
        self.accepted.add(took.event_id)
        if self.dies_after_s is not None:
            await asyncio.sleep(self.dies_after_s)
            [started] = self.starts()
            self.instances.pop(started.instance).crash()
        await self._all_final()
        for instance in self.instances.values():
            instance.stop.set()
        await asyncio.wait([i.running for i in self.instances.values()])

    def starts(self) -> list[ProcessingStarted]:
        return [o for o in self.outcomes if isinstance(o, ProcessingStarted)]

    def end(self) -> LeadProcessed:
        """The lead's only end, after a run in which every promise held."""
        self.run()
        assert broken(self) == []
        [end] = [o for o in self.outcomes if isinstance(o, LeadProcessed)]
        return end


def test_work_longer_than_a_lease_keeps_its_lead() -> None:
    """The heartbeat renews the lease while its owner lives: nobody else begins, nothing is done twice."""
    scene = Scene(call_s=50)
    end = scene.end()
    assert (end.result, end.attempt) == ("sent", 1)
    assert len(scene.starts()) == 1
    assert len(scene.outside.messages["L1"]) == 1


def test_a_dead_owners_lead_is_taken_over_as_soon_as_may_be() -> None:
    """Not before the lease has lapsed, and not later than the entry's idle time says: the other's ticker."""
    scene = Scene(call_s=5, dies_after_s=3)
    end = scene.end()
    first, second = scene.starts()
    assert first.instance != second.instance == end.instance
    assert (end.result, end.attempt) == ("sent", 2)
    assert first.at is not None
    assert second.at is not None
    assert LEASE_TTL_S <= (second.at - first.at).total_seconds() <= RECLAIM_IDLE_S + 2
    assert len(scene.outside.messages["L1"]) == 1


def test_what_a_dead_owner_had_sent_is_found() -> None:
    """It dies with its POST on the way: whoever takes over looks at the lead and sends nothing."""
    scene = Scene(call_s=5, dies_after_s=12)
    end = scene.end()
    assert (end.result, end.attempt) == ("sent", 2)
    assert len(scene.outside.messages["L1"]) == 1
