"""One attempt at one event: what the pipeline is handed, and what it leaves behind."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from ops import traces
from processor.budget import Grant
from schema.calls import Entry, Lease
from schema.errors import LeaseLost
from schema.events import WebhookAccepted

INTENT = "intent"  # the step that says when a send was about to be made

current_work: ContextVar["Work | None"] = ContextVar("current_work", default=None)


@dataclass(slots=True, eq=False)
class Work:
    """An attempt in progress; the only mutable thing of the pipeline.

    Attributes:
        steps: finished steps by name, as recorded or to be recorded (sealed text).
        unrecorded: those of them that are not recorded yet; see `processor.pipeline`.
        verify: an earlier attempt ended unseen: read the lead before sending.
        sending: the send intent was recorded by this attempt, and not taken back.
        renewed_at: monotonic seconds just before the lease was last taken or renewed.
        began_at: monotonic seconds just before it was taken.
        step: the step under way, for errors.
        timings_ms: milliseconds per step.
        calls: outside calls per API.
        superseded_by: event id of a newer update that waits behind this one, or empty.
        contact: fingerprint of the contact that the lead's last processed event had, or empty.
        reserved: turns taken in advance, per API (see `processor.gate`).
    """

    entry: Entry
    lease: Lease
    attempt: int
    verify: bool
    steps: dict[str, str]
    lease_ttl_s: float
    renewed_at: float
    clock: Callable[[], float] = time.monotonic
    superseded_by: str = ""
    contact: str = ""
    sending: bool = False
    step: str = ""
    timings_ms: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    reserved: dict[str, Grant] = field(default_factory=dict)
    unrecorded: dict[str, str] = field(default_factory=dict)
    began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_at = self.renewed_at

    @property
    def event(self) -> WebhookAccepted:
        return self.entry.event

    @property
    def takes_low_slot(self) -> bool:
        """Whether it holds one of the few slots for leads of low priority."""
        return self.entry.is_low and not self.superseded_by

    def names(self) -> dict[str, str | int]:
        """What every log line about this attempt carries."""
        return {"event_id": self.event.event_id, "lead_id": self.event.lead_id, "attempt": self.attempt}

    @contextmanager
    def doing(self, step: str) -> Iterator[None]:
        """A step is under way."""
        self.step = step
        started = self.clock()
        try:
            with traces.span(f"step.{step}"):
                yield
        finally:
            self.timings_ms[step] = round((self.clock() - started) * 1000)

    def now_s(self) -> float:
        """Seconds since the epoch by Redis's clock, without asking it, whatever this machine's clock says.

        The fence is Redis's time when the lease was taken; since then a monotonic clock has counted.
        """
        return self.lease.fence / 1e6 + (self.clock() - self.began_at)

    def still_mine(self) -> None:
        """Check, without asking Redis, that the lease cannot have lapsed.

        The clock goes on while a process is stopped, so a sleeper that wakes up late fails here before it
        can send.

        Raises:
            LeaseLost: more time has passed since the last renewal than a lease surely lives.
        """
        if self.clock() - self.renewed_at >= self.lease_ttl_s * 0.9:
            raise LeaseLost(f"the lease of lead {self.event.lead_id} may have lapsed; nothing was sent")
