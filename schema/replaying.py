"""Arguments of `replay`, typed (see `schema.calls`)."""

from schema.events import WebhookAccepted
from schema.keys import Keys
from schema.scripts import ScriptCall, script
from schema.times import to_text

ELSEWHERE = "0-0"  # no entry has this id


def replay(
    keys: Keys,
    event: WebhookAccepted,
    dedup_key: str,
    *,
    dedup_ttl_s: int,
    steps_ttl_s: int,
    instance: str,
    reason: str,
    lost: str = "",
    actor: str = "",
) -> ScriptCall:
    """Put an event back to work under its own id; the reply is the new entry id.

    ``lost`` is the id of the entry that it makes good; where that was not lost, or was made good before,
    nothing is done and the reply is empty. `ELSEWHERE` stands for an entry in another partition, of which the
    caller knows that it is over or lost: a message may be on its way, which the steps there had known.
    ``actor`` as in `EventReplayed`.
    """
    names = [keys.webhooks, keys.outcomes, keys.fence, keys.steps(event.event_id), keys.dedup(dedup_key)]
    names += [keys.queue(event.lead_id)]
    args = [str(dedup_ttl_s), str(steps_ttl_s), instance, reason, event.event_id, event.lead_id, event.action]
    args += [event.version, event.source, to_text(event.received_at), event.traceparent, event.payload, lost]
    args.append(actor)
    return ScriptCall(script("replay"), names, args)
