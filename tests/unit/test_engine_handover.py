"""The engine between two entries of one lead, with a Redis that goes away just then."""

import asyncio
from datetime import UTC, datetime
from unittest.mock import create_autospec

from structlog.testing import capture_logs

from ops.settings import Settings
from processor.engine import Engine
from processor.executor import Executor
from processor.rhythm import Rhythm
from processor.store import LeadStore
from processor.work import Work
from schema.calls import Entry, Finished, Finishing, Lease
from schema.errors import StorageUnavailable
from schema.events import WebhookAccepted


async def test_a_handover_that_redis_cuts_short_is_left_to_the_ticker():
    """The next entry was claimed and cannot be entered: no broken work, and the ticker looks in time."""
    store = create_autospec(LeadStore, instance=True, rhythm=Rhythm())
    event = WebhookAccepted(
        event_id="e",
        lead_id="lead",
        action="on_create_lead",
        version="",
        source="webhook",
        received_at=datetime.now(UTC),
        payload="{}",
    )
    store.decoded.return_value = [Entry("1-0", event)]
    store.enter.side_effect = StorageUnavailable("cut")
    executor = create_autospec(Executor, instance=True)
    executor.ended.return_value = False
    executor.finish.return_value = Finished(True, next=("1-0", {}))
    store.finish.return_value = asyncio.get_running_loop().create_future()
    store.finish.return_value.set_result(executor.finish.return_value)
    settings = Settings.model_construct(reclaim_idle_secs=3.0, backoff_base_secs=60.0)
    engine = Engine(store, executor, None, settings, on_lost=store.forget, regroup=store.ensure_group)
    engine._tick_at = float("inf")
    work = Work(
        entry=Entry("0-1", event),
        lease=Lease("key", "me", 1),
        attempt=1,
        verify=False,
        steps={},
        lease_ttl_s=3.0,
        renewed_at=0.0,
    )
    with capture_logs() as said:
        engine._ends.record(work, Finishing(work.entry, work.lease, None))
        await asyncio.sleep(0)
        await engine._ends.settled()
    assert [(line["event"], line["loop"]) for line in said] == [("redis.unavailable", "claim")]
    assert engine._tick_at < float("inf")
