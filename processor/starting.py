"""From a lease that was taken to the work that goes with it."""

from collections.abc import Callable

import structlog

from ops import traces
from ops.settings import Settings
from processor.meters import Meters
from processor.work import Work
from schema.calls import Entered, Entry

log = structlog.get_logger()


def begun(
    entry: Entry,
    entered: Entered,
    before: float,
    settings: Settings,
    *,
    clock: Callable[[], float],
    meters: Meters,
) -> Work:
    """The work of an entry that may run; said and counted.

    Args:
        entry: in our hands.
        entered: the answer ``run``.
        before: monotonic seconds just before the lease was taken.
        settings: the life of leases.
        clock: monotonic seconds.
        meters: what counts.
    """
    assert entered.lease is not None  # noqa: S101 -- `run` comes with a lease
    work = Work(
        entry=entry,
        lease=entered.lease,
        attempt=entered.attempt,
        # A replay's first copy may have been worked off, and its steps with it.
        verify=entered.verify or entry.event.source == "replay",
        steps=dict(entered.steps),
        lease_ttl_s=settings.lease_ttl_secs,
        renewed_at=before,
        superseded_by=entered.superseded_by,
        contact=entered.contact,
        clock=clock,
    )
    meters.started(work.event.action, expired=entered.expired)
    if entered.expired:
        # It is the attempt before this one that never ended.
        event = work.event
        log.warning("lease.expired", event_id=event.event_id, lead_id=event.lead_id, attempt=work.attempt - 1)
    if traces.on():
        traces.record("claim", work.event.traceparent, clock() - before, **work.names())
    log.info("lead.started", **work.names(), fence=work.lease.fence)
    return work
