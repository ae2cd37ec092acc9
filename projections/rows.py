"""Folding facts into rows of `webhook_events`: pure.

Facts of the `outcomes` stream come in order; only `webhook_accepted` may come before or after them. The
newest fact by (fence, rank) decides the state; the rest of a row is gathered from all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from projections.batch import Fact, events
from schema.erasing import ERASED
from schema.events import (
    AttemptFailed,
    Event,
    EventIgnored,
    EventReplayed,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    WebhookAccepted,
    WebhookDuplicated,
)
from schema.status import FINAL, RANKS, STATUS_AFTER, Status

REPLAY = "replay"
_ENDS = (LeadProcessed, LeadDeadLettered, EventIgnored)


@dataclass(slots=True)
class Row:
    """What a batch says of one event; None where it says nothing.

    Attributes:
        keep_error: the batch brought no error, good end or replay: the last error stays in place.
        reopened: the batch holds a replay, which alone may take an event out of its end.
    """

    event_id: str
    lead_id: str
    action: str
    received_at: datetime
    status: Status = Status.RECEIVED
    fence: int = -1
    rank: int = -1
    processed_at: datetime | None = None
    error_message: str | None = None
    retry_count: int = 0
    attempt: int = 0
    result: str | None = None
    message_ref: str | None = None
    step: str | None = None
    error_code: str | None = None
    error_api: str | None = None
    retry_at: datetime | None = None
    timings: str | None = None
    calls: str | None = None
    message: str | None = None
    instance: str | None = None
    keep_error: bool = True
    reopened: bool = False
    raw_payload: str | None = None
    source: str | None = None
    version: str | None = None
    partition: int | None = None
    entry_id: str | None = None


def fold(facts: Iterable[Fact]) -> list[Row]:
    """The rows that a batch touches, one per event."""
    rows: dict[str, Row] = {}
    for fact, event in events(list(facts)):
        if isinstance(event, EventIgnored) and event.reason == "already_final":
            continue
        row = rows.get(event.event_id)
        if row is None:
            row = Row(event.event_id, event.lead_id, event.action, event.received_at)
            rows[event.event_id] = row
        _apply(row, fact, event)
    return list(rows.values())


def _apply(row: Row, fact: Fact, event: Event) -> None:
    row.received_at = min(row.received_at, event.received_at)
    row.partition = fact.partition
    if isinstance(event, WebhookDuplicated):
        return  # counted where its own row is written, so that it counts once
    if isinstance(event, WebhookAccepted) or (isinstance(event, EventIgnored) and event.reason != ERASED):
        _take_webhook(row, fact, event)
    fence = event.fence if isinstance(event, Outcome) else 0
    rank = RANKS[event.type]
    if (fence, rank) <= (row.fence, row.rank):
        return
    status = STATUS_AFTER[event.type]
    if status == Status.PROCESSING and row.status in FINAL:
        return  # a repeat that Redis had forgotten: the event keeps its end until it has another
    row.fence, row.rank, row.status = fence, rank, status
    if isinstance(event, Outcome):
        _enter_state(row, event, fact.at)


def _take_webhook(row: Row, fact: Fact, event: WebhookAccepted | EventIgnored) -> None:
    """The webhook itself: the first that came counts, but a replayed copy only until a first-hand one."""
    if row.source not in (None, REPLAY):
        return
    if row.source is None or event.source != REPLAY:
        row.raw_payload, row.source = event.payload, event.source
        if isinstance(event, WebhookAccepted):
            row.version, row.entry_id = event.version, fact.entry_id


def _enter_state(row: Row, event: Outcome, at: datetime) -> None:
    row.instance = event.instance
    row.attempt = event.attempt
    row.processed_at = at if isinstance(event, _ENDS) else None
    row.retry_at = event.retry_at if isinstance(event, AttemptFailed) else None
    failed = isinstance(event, LeadDeadLettered) or (isinstance(event, AttemptFailed) and event.counted == 1)
    row.retry_count = event.attempt if failed else max(event.attempt - 1, 0)
    row.result = None
    if isinstance(event, AttemptFailed | LeadDeadLettered):
        row.keep_error = False
        row.error_message, row.step = event.error or None, event.step or None
        row.error_code, row.error_api = event.code or None, event.api or None
    elif isinstance(event, LeadProcessed | EventIgnored | EventReplayed):
        row.keep_error = False
        row.error_message = row.step = row.error_code = row.error_api = None
    row.reopened = row.reopened or isinstance(event, EventReplayed)
    if isinstance(event, LeadProcessed):
        row.result, row.message_ref = event.result or None, event.message_ref or row.message_ref
        row.timings, row.calls = event.timings or row.timings, event.calls or row.calls
        row.message = event.message or row.message
    elif isinstance(event, EventIgnored):
        row.result = "erased" if event.reason == ERASED else "ignored"
