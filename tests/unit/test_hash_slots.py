"""Every script call keeps its keys in one hash slot, so that it can run on a Redis Cluster."""

from datetime import UTC, datetime

import pytest
from redis.crc import key_slot

from ops.redis_cluster import slot_of
from schema import (
    budget,
    calls,
    elsewhere,
    erasing,
    holding,
    outside,
    replaying,
    scripts,
    survey,
    ticking,
    trimming,
)
from schema.budget import APIS, BreakerPolicy, Pace, Priority
from schema.calls import Appending, Entry, Finishing, Forward, Lease
from schema.events import LeadDeadLettered, WebhookAccepted
from schema.holding import Note
from schema.keys import BudgetKeys, Keys
from schema.scripts import ScriptCall, script

NOW = datetime(2026, 1, 21, tzinfo=UTC)
KEYS = Keys(5)


def event(lead: str) -> WebhookAccepted:
    return WebhookAccepted(
        event_id=f"id-{lead}", lead_id=lead, action="on_create_lead", version="v", source="webhook",
        received_at=NOW, payload="{}",
    )  # fmt: skip


ENTRIES = [Entry(f"{n}-0", event(f"lead {{{n}}}")) for n in range(3)]  # braces of a lead id are not the tag
LEASES = [Lease(KEYS.lease(e.event.lead_id), "p", 1) for e in ENTRIES]
DEAD = LeadDeadLettered(
    event_id="id", lead_id="lead", action="on_create_lead", received_at=NOW, at=NOW, attempt=1, fence=1,
    instance="p", step="send", code="c", api="c2s", error="e",
)  # fmt: skip
POLICY = BreakerPolicy(0.5, 3, 30, 300)

CALLS: dict[str, ScriptCall] = {
    "append": calls.append(
        KEYS,
        [Appending(e.event, f"{e.event.lead_id}:create", forward=Forward("f", "{}")) for e in ENTRIES],
        dedup_ttl_s=60,
        instance="p",
    ),
    "enter": calls.enter(KEYS, ENTRIES, instance="p", lease_ttl_s=30, steps_ttl_s=60, wake=True),
    "elsewhere": elsewhere.look(KEYS, event("lead")),
    "finish": calls.finish(
        KEYS,
        [Finishing(e, lease, DEAD) for e, lease in zip(ENTRIES, LEASES, strict=True)],
        instance="p",
        steps_ttl_s=60,
        take_next=True,
    ),
    "sweep": ticking.sweep(KEYS, instance="p", min_idle_s=60),
    "renew": holding.renew(KEYS, [(lease, "1-0") for lease in LEASES], instance="p", lease_ttl_s=30),
    "record": holding.record(KEYS, [Note(lease, "id", {"sent": "x"}) for lease in LEASES], steps_ttl_s=60),
    "tick": ticking.tick(KEYS, instance="p", min_idle_s=30, most=5, cursor="0-0", low_slots=1),
    "replay": replaying.replay(
        KEYS, event("lead"), "lead:create", dedup_ttl_s=6, steps_ttl_s=6, instance="p", reason="r", lost="1-0"
    ),
    "trim": trimming.trim(KEYS, keep=1000, webhooks="1-0", outcomes="1-0", dead_before_ms=1),
    "survey": survey.survey(KEYS, "0-0", "0-0"),
    "depth": ScriptCall(script("depth"), [KEYS.webhooks, KEYS.retries, KEYS.parked], ["g", "10"]),
    "erase": erasing.erase(
        KEYS, "lead", instance="p", erasure_id="e", entry_ids=["1-0"], letter_ids=["1-0"], event_ids=["id"],
        queue=True,
    ),
    "rewrap": ScriptCall(script("rewrap"), [KEYS.dead], ["stream", "1-0"]),
    "outside": outside.call([
        *(budget.ask(api, "t", Priority.NEW, Pace(), probe_life_s=1) for api in APIS),
        *(op for api in APIS for op in (
            budget.passing(api, 1), budget.leave(api, "t"), budget.pause(api, 1), budget.mended(api, "t"),
            budget.failed(api, "t", POLICY),
        )),
        outside.look("hash", "t", 1),
        outside.keep("other", "t", "x", 1),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_keys_of_a_call_share_a_slot(name):
    """Whatever a lead's id is made of."""
    call = CALLS[name]
    assert call.script.name == name
    slots = {key_slot(key.encode()) for key in call.keys}
    assert slots == {slot_of(["EVALSHA", call.script.sha1, len(call.keys), *call.keys, *call.args])}


def test_every_script_is_among_them():
    """A script that is added is looked at, too."""
    assert set(CALLS) == set(scripts.ScriptName.__args__)
    assert {key_slot(key.encode()) for key in BudgetKeys("work").all} != {key_slot(KEYS.webhooks.encode())}


def test_the_slot_of_other_commands_is_that_of_their_key():
    """Of streams behind STREAMS; of nothing where any node may answer."""
    tag = key_slot(b"5")
    assert (
        slot_of(["XREADGROUP", "GROUP", "g", "streams", "COUNT", 1, "STREAMS", KEYS.webhooks, ">"])
        is not None
    )
    assert slot_of(["XREAD", "BLOCK", "1", b"STREAMS", KEYS.webhooks, KEYS.outcomes, "0", "0"]) == tag
    assert slot_of(["XINFO GROUPS", KEYS.webhooks]) == tag
    assert slot_of(["GET", KEYS.fence.encode()]) == tag
    assert [slot_of([word]) for word in ("PING", "INFO", "CONFIG GET", "TIME", "WAIT")] == [None] * 5
