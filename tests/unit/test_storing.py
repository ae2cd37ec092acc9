"""Storing: what went to the spool is drained, whatever the timing."""

import asyncio
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from ingress.metrics import door_metrics
from ingress.storing import Storage
from ops.seal import SealingCodec
from schema.calls import Appended, Appending, Forward
from schema.codec import PlainCodec
from schema.errors import StorageUnavailable
from schema.events import WebhookAccepted


def webhook() -> Appending:
    event = WebhookAccepted(
        event_id="e1", lead_id="L1", action="on_create_lead", version="v", source="webhook",
        received_at=datetime(2026, 1, 21, tzinfo=UTC), payload="{}",
    )  # fmt: skip
    return Appending(event, "L1:on_create_lead")


class Redis:
    """A stream that is away until told otherwise."""

    def __init__(self) -> None:
        self.away = True
        self.taken: list[Appending] = []

    async def append_all(self, items, *, again=False):
        if self.away:
            raise StorageUnavailable("away")
        self.taken += items
        return [Appended(True, i.event.event_id, "1-0") for i in items]


class SlowSpool:
    """A spool whose rows become visible only after everybody else has had a turn."""

    def __init__(self) -> None:
        self.rows: list[Appending] = []

    async def put(self, items) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        self.rows += items

    async def is_empty(self) -> bool:
        return not self.rows

    async def drain(self, appender) -> int:
        count = len(self.rows)
        if count:
            await appender.append_all(self.rows)
            self.rows = []
        return count


async def test_a_drain_that_looks_too_early_looks_again():
    """Rows still on their way when the drain looks are drained all the same once Redis is back."""
    redis, spool = Redis(), SlowSpool()
    storage = Storage(redis, spool, door_metrics(CollectorRegistry()), PlainCodec())
    draining = asyncio.create_task(storage.run())
    [kept] = await storage.keep([webhook()])
    assert kept.state == "spooled"
    redis.away = False
    async with asyncio.timeout(5):
        while storage.spooling or not redis.taken:  # noqa: ASYNC110 -- gives the drain its turns
            await asyncio.sleep(0)
    assert [i.event.event_id for i in redis.taken] == ["e1"]
    draining.cancel()


@pytest.mark.parametrize("away", [False, True], ids=["in the stream", "in the spool"])
async def test_what_is_stored_is_sealed(away):
    """Handlers give webhooks and copies of requests in clear; neither place gets them so."""
    codec = SealingCodec([bytes(range(32))])
    redis, spool = Redis(), SlowSpool()
    redis.away = away
    storage = Storage(redis, spool, door_metrics(CollectorRegistry()), codec)
    await storage.keep([webhook()._replace(forward=Forward("f1", "{}", "[{}]")), webhook()])
    with_copy, without = spool.rows if away else redis.taken
    assert with_copy.forward is not None
    assert without.forward is None
    for item in (with_copy, without):
        assert item.event.payload.startswith("sealed:")
        assert codec.open("e1", "payload", item.event.payload) == "{}"
    assert codec.open("f1", "payload", with_copy.forward.body) == "[{}]"
