"""The status machine of an event, as ``webhook_events.status`` shows it.

::

    received ──> processing ──> success
                   │    ^  └──> failed (gave up: a dead letter)
                   └────┘ a retry waits as `processing`, with retry_count and the last error

Facts reach the projector from two streams in any order. Which fact wins is decided by
``(fence, rank)``: every attempt holds a newer fence (it is made from a Redis stream id, so it only
grows), and within one attempt a later fact has a higher rank.
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


def fence_of(stream_id: str) -> int:
    """The fence made from a stream id: milliseconds followed by a six-digit sequence.

    A Redis stream id only grows, also when the server's clock steps back, and after a wiped Redis it
    still grows with time. Fits a Postgres ``bigint`` until the year 2262.
    """
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds) * 1_000_000 + min(int(sequence or 0), 999_999)
