"""Folding facts into rows of `webhook_events`: pure.

Facts of the `outcomes` stream come in order; only `webhook_accepted` may come before or after them. The
newest fact by (fence, rank) decides the state; the rest of a row is gathered from all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from projections.batch import Fact, events
from schema.events import (
    AttemptFailed,
    Event,
    EventIgnored,
    EventReplayed,
    LeadDeadLettered,
    LeadProcessed,
    Outcome,
    ProcessingStarted,
    WebhookAccepted,
    WebhookDuplicated,
)
from schema.status import RANKS, STATUS_AFTER, Status

_ENDS = (LeadProcessed, LeadDeadLettered, EventIgnored)


@dataclass(slots=True)
class Row:
    """What a batch says of one event; None where it says nothing.

    Attributes:
        keep_error: the new state leaves the last error in place (an attempt under way).
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
    keep_error: bool = False
    duplicates: int = 0
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
    if isinstance(event, WebhookDuplicated):
        row.duplicates += 1
        return
    if isinstance(event, WebhookAccepted) and event.source == "replay":
        return  # its event_replayed tells the rest
    if isinstance(event, WebhookAccepted | EventIgnored):
        row.raw_payload, row.source = event.payload, event.source
    if isinstance(event, WebhookAccepted):
        row.version, row.partition, row.entry_id = event.version, fact.partition, fact.entry_id
    fence = event.fence if isinstance(event, Outcome) else 0
    rank = RANKS[event.type]
    if (fence, rank) > (row.fence, row.rank):
        row.fence, row.rank, row.status = fence, rank, STATUS_AFTER[event.type]
        if isinstance(event, Outcome):
            _enter_state(row, event, fact.at)


def _enter_state(row: Row, event: Outcome, at: datetime) -> None:
    row.instance = event.instance
    row.attempt = event.attempt
    row.processed_at = at if isinstance(event, _ENDS) else None
    row.retry_at = event.retry_at if isinstance(event, AttemptFailed) else None
    failed = isinstance(event, LeadDeadLettered) or (isinstance(event, AttemptFailed) and event.counted)
    row.retry_count = event.attempt if failed else max(event.attempt - 1, 0)
    if isinstance(event, AttemptFailed | LeadDeadLettered):
        row.error_message, row.step = event.error, event.step
        row.error_code, row.error_api, row.keep_error = event.code, event.api or None, False
    elif isinstance(event, ProcessingStarted | EventReplayed):
        row.keep_error = row.error_message is None
    else:
        row.error_message = row.step = row.error_code = row.error_api = None
        row.keep_error = False
    if isinstance(event, LeadProcessed):
        row.result, row.message_ref = event.result, event.message_ref or None
        row.timings, row.calls = event.timings or None, event.calls or None
        row.message = event.message or None
    elif isinstance(event, EventIgnored):
        row.result = "ignored"
