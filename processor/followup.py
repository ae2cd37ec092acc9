"""The follow-up of a lead that was sent without its profile: an event of its own, which waits for the APIs.

It is appended before the first event ends, under a dedup key made of that event's id, so a crash in between
repeats nothing. It carries the customer, so it costs no call to C2S but its message.
"""

from datetime import UTC, datetime

import orjson

from processor.work import Work
from schema.budget import FOLLOW_UP
from schema.calls import Appending
from schema.codec import PayloadCodec
from schema.events import WebhookAccepted
from schema.identity import UPDATE, dedup_key, event_id_of
from schema.lead import Customer

_PHONE_FIELDS = ("phone_global", "phone", "phone2")


def follow_up(work: Work, customer: Customer, codec: PayloadCodec) -> Appending:
    """The event to append for a lead whose enrichment could not be had."""
    first = work.event
    version = f"{FOLLOW_UP}:{first.event_id}"
    key = dedup_key(first.lead_id, UPDATE, version)
    event_id = event_id_of(key)
    phones = dict(zip(_PHONE_FIELDS, customer.phones, strict=False))
    body = {
        "id": first.lead_id,
        "hook_action": UPDATE,
        "attributes": {"customer": {"name": customer.name, "email": customer.email, **phones}},
    }
    event = WebhookAccepted(
        event_id=event_id,
        lead_id=first.lead_id,
        action=UPDATE,
        version=version,
        source=FOLLOW_UP,
        received_at=datetime.fromtimestamp(work.now_s(), UTC),
        traceparent=first.traceparent,
        payload=codec.seal(event_id, "payload", orjson.dumps(body).decode()),
    )
    return Appending(event, key)
