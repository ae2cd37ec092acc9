"""Folding facts into rows of `webhook_events`: pure.

Facts of the `outcomes` stream come in order; only `webhook_accepted` may come before or after them. The
newest fact by (fence, rank) decides the state; the rest of a row is gathered from all of them.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from projections.batch import Fact, events
from schema.erasing import ERASED
from schema.events import (
    EVENTS,
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
from schema.status import FINAL, RANKS, STATUS_AFTER, Status

REPLAY = "replay"
_REPLACEABLE = (None, REPLAY)
_FAILURES = (AttemptFailed, LeadDeadLettered)
_ENDS = frozenset({LeadProcessed, LeadDeadLettered, EventIgnored})
# Of each class: its rank, and the status after it.
_AFTER: dict[type[Event], tuple[int, Status]] = {
    cls: (RANKS[cls.type], STATUS_AFTER[cls.type]) for cls in EVENTS if cls is not WebhookDuplicated
}


class Row(Struct, gc=False):
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
    for fact, event in events(facts):
        if type(event) is EventIgnored and event.reason == "already_final":
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
    kind = type(event)
    if kind is WebhookDuplicated:
        return  # counted where its own row is written, so that it counts once
    fence = 0
    if type(event) is WebhookAccepted:
        _take_webhook(row, fact, event)
    else:
        fence = event.fence
        if type(event) is EventIgnored and event.reason != ERASED:
            _take_webhook(row, fact, event)
    rank, status = _AFTER[kind]
    if fence < row.fence or (fence == row.fence and rank <= row.rank):
        return
    if status is Status.PROCESSING and row.status in FINAL:
        return  # a repeat that Redis had forgotten: the event keeps its end until it has another
    row.fence, row.rank, row.status = fence, rank, status
    if isinstance(event, Outcome):
        _enter_state(row, fact, event)


def _take_webhook(row: Row, fact: Fact, event: WebhookAccepted | EventIgnored) -> None:
    """The webhook itself: the first that came counts, but a replayed copy only until a first-hand one."""
    if row.source not in _REPLACEABLE:
        return
    if row.source is None or event.source != REPLAY:
        row.raw_payload, row.source = event.payload, event.source
        if type(event) is WebhookAccepted:
            row.version, row.entry_id = event.version, fact.entry_id


def _enter_state(row: Row, fact: Fact, event: Outcome) -> None:
    row.instance = event.instance
    row.attempt = event.attempt
    row.processed_at = fact.at if type(event) in _ENDS else None
    row.retry_at = row.result = None
    row.retry_count = event.attempt - 1 if event.attempt else 0
    if type(event) is ProcessingStarted:
        return
    row.keep_error = False
    row.error_message = row.step = row.error_code = row.error_api = None
    if type(event) is LeadProcessed:
        row.result, row.message_ref = event.result or None, event.message_ref or row.message_ref
        row.timings, row.calls = event.timings or row.timings, event.calls or row.calls
        row.message = event.message or row.message
    elif isinstance(event, _FAILURES):
        row.error_message, row.step = event.error or None, event.step or None
        row.error_code, row.error_api = event.code or None, event.api or None
        if isinstance(event, LeadDeadLettered) or event.counted == 1:
            row.retry_count = event.attempt
        if type(event) is AttemptFailed:
            row.retry_at = event.retry_at
    elif type(event) is EventReplayed:
        row.reopened = True
    elif type(event) is EventIgnored:
        row.result = "erased" if event.reason == ERASED else "ignored"
