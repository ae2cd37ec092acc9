"""The status machine of an event, as ``webhook_events.status`` shows it.

::

    received ──> processing ──> success
                   │    ^  └──> failed (gave up: a dead letter)
                   └────┘ a retry waits as `processing`, with retry_count and the last error

Facts reach the projector from two streams in any order. Which fact wins is decided by
``(fence, rank)``: every attempt and every replay holds a newer fence (Redis time in microseconds, made
strictly growing by `schema/lua/_prelude.lua`), and within one attempt a later fact has a higher rank.
Facts without a lease (accepted, duplicated, ignored) have fence 0.
"""

from enum import StrEnum


class Status(StrEnum):
    RECEIVED = "received"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"


FINAL = frozenset({Status.SUCCESS, Status.FAILED})

# Rank of each outcome type within one fence; a fact never overrides one of higher (fence, rank).
RANKS: dict[str, int] = {
    "webhook_accepted": 0,
    "event_replayed": 1,
    "processing_started": 2,
    "attempt_failed": 3,
    "event_ignored": 4,
    "lead_processed": 5,
    "lead_dead_lettered": 6,
}

STATUS_AFTER: dict[str, Status] = {
    "webhook_accepted": Status.RECEIVED,
    "event_replayed": Status.RECEIVED,
    "processing_started": Status.PROCESSING,
    "attempt_failed": Status.PROCESSING,
    "event_ignored": Status.SUCCESS,
    "lead_processed": Status.SUCCESS,
    "lead_dead_lettered": Status.FAILED,
}
