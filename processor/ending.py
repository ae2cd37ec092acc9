"""From what an attempt came to, to the outcome that ends it: pure."""

import random
from typing import Any

import orjson

from processor.pipeline import Result
from processor.policy import BackoffPolicy, GiveUp, Retry, decide
from processor.work import Work
from schema.calls import Finishing
from schema.codec import PayloadCodec
from schema.errors import LeadstreamError, PipelineError
from schema.events import AttemptFailed, EventIgnored, LeadDeadLettered, LeadProcessed, Outcome


def well(work: Work, result: Result, codec: PayloadCodec) -> Finishing:
    """The end of an event that reached its good end."""
    outcome: Outcome
    if result.name == "already_final":
        outcome = EventIgnored(**_common(work), reason="already_final")
    else:
        event_id = work.event.event_id
        outcome = LeadProcessed(
            **_common(work),
            result=result.name,
            message_ref=result.message_ref,
            timings=orjson.dumps(work.timings_ms).decode(),
            calls=orjson.dumps(work.calls).decode(),
            contact=result.contact,
            superseded_by=result.superseded_by,
            message=codec.seal(event_id, "message", result.message),
            enrichment=codec.seal(event_id, "enrichment", result.enrichment),
        )
    return Finishing(work.entry, work.lease, outcome)


def badly(work: Work, error: Exception, policy: BackoffPolicy, rng: random.Random) -> Finishing:
    """The end of an attempt that failed: a retry or a dead letter."""
    spent = orjson.dumps(work.calls).decode() if work.calls else ""
    why: dict[str, Any] = {"step": work.step, "calls": spent, **_why(error)}
    match decide(error, work.attempt, policy, rng):
        case GiveUp():
            return Finishing(work.entry, work.lease, LeadDeadLettered(**_common(work), **why))
        case Retry(delay_s, counted):
            outcome = AttemptFailed(**_common(work), **why, counted=int(counted))
            return Finishing(work.entry, work.lease, outcome, delay_s=delay_s, clean=not work.sending)


def _why(error: Exception) -> dict[str, str]:
    if isinstance(error, PipelineError):
        return {"code": error.code, "api": error.api, "error": str(error)}
    if isinstance(error, LeadstreamError):
        return {"code": type(error).__name__, "error": str(error)}
    # A bug's text may quote data, so only its type is told; the log has where it happened.
    return {"code": "unexpected", "error": f"unexpected {type(error).__name__}; see the log"}


def _common(work: Work) -> dict[str, Any]:
    e = work.event
    return {
        "event_id": e.event_id,
        "lead_id": e.lead_id,
        "action": e.action,
        "received_at": e.received_at,
        "attempt": work.attempt,
        "fence": work.lease.fence,
        "instance": work.lease.instance,
        "traceparent": e.traceparent,
    }
