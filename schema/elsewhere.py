"""Arguments and reply of `elsewhere`, typed (see `schema.calls`)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from schema.events import WebhookAccepted
from schema.identity import dedup_key
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script


class Seen(NamedTuple):
    """What a partition has of a lead.

    Attributes:
        head: the id of its oldest entry that is not over, or empty.
        in_work: it is leased there.
        contact: fingerprint of the contact that the lead's last event processed there had, or empty.
        contact_left_ms: life left of that: the longer, the later it was noted.
        accepted: the event itself was accepted there.
    """

    head: str
    in_work: bool
    contact: str
    contact_left_ms: int
    accepted: bool


def look(keys: Keys, event: WebhookAccepted) -> ScriptCall:
    """See what a partition has of the event's lead."""
    lead = event.lead_id
    dedup = keys.dedup(dedup_key(lead, event.action, event.version))
    names = [keys.webhooks, keys.queue(lead), keys.lease(lead), keys.state(lead), dedup]
    return ScriptCall(script("elsewhere"), names, [GROUP])


def read_look(reply: Sequence[Any]) -> Seen:
    return Seen(reply[0].decode(), reply[1] == 1, reply[2].decode(), int(reply[3]), reply[4] == 1)
