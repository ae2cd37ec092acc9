"""Parking and collapsing in `enter` and `tick`, over fakeredis and a real Redis alike."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import fakeredis.aioredis
import pytest

from ops.append import Appender
from ops.redis import Client, command_client, run
from schema import calls, holding
from schema.calls import Appending, Entered, Entry, Finishing
from schema.events import AttemptFailed, LeadProcessed, WebhookAccepted, decode, text_fields
from schema.holding import Note
from schema.identity import CLOSE, CREATE, UPDATE, dedup_key, event_id_of
from schema.keys import GROUP, Keys
from schema.ticking import Ticked, read_tick
from schema.ticking import tick as ticking

KEYS = Keys(0)


@pytest.fixture(params=["fakeredis", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    if request.param == "fakeredis":
        made = fakeredis.aioredis.FakeRedis(version=(6, 2))
    else:
        made = command_client(request.getfixturevalue("redis_url"))
    await made.xgroup_create(KEYS.webhooks, GROUP, "0", mkstream=True)
    yield made
    await made.aclose()


async def accept(
    client: Client, lead: str, action: str = CREATE, version: str = "v1", source: str = "webhook"
) -> str:
    key = dedup_key(lead, action, version)
    event = WebhookAccepted(
        event_id=event_id_of(key),
        lead_id=lead,
        action=action,
        version=version,
        source=source,
        received_at=datetime.now(UTC),
        payload="{}",
    )
    door = Appender(client, partitions=1, dedup_ttl_s=60, instance="door")
    return (await door.append(Appending(event, key))).event_id


async def read(client: Client, instance: str = "p1", count: int = 100) -> list[Entry]:
    reply = await client.xreadgroup(GROUP, instance, {KEYS.webhooks: ">"}, count=count)
    return [Entry(i.decode(), decode(text_fields(f))) for _, rows in reply for i, f in rows]


async def enter(
    client: Client, entries: Sequence[Entry], low: int = 100, settle_s: float = 0, instance: str = "p1"
) -> list[Entered]:
    call = calls.enter(
        KEYS,
        entries,
        instance=instance,
        lease_ttl_s=30,
        steps_ttl_s=60,
        wake=False,
        low_slots=low,
        update_settle_s=settle_s,
    )
    return calls.read_enter(await run(client, call), KEYS, entries, instance)


async def tick(
    client: Client,
    *,
    low: int = 100,
    instance: str = "p1",
    min_idle_s: float = 30,
    most: int = 10,
    cursor: str = "0-0",
) -> Ticked:
    call = ticking(KEYS, instance=instance, min_idle_s=min_idle_s, most=most, cursor=cursor, low_slots=low)
    return read_tick(await run(client, call))


async def finish(
    client: Client, entry: Entry, entered: Entered, contact: str = "", retry: bool = False
) -> None:
    e = entry.event
    common = {"event_id": e.event_id, "lead_id": e.lead_id, "action": e.action, "received_at": e.received_at}
    outcome = AttemptFailed(**common) if retry else LeadProcessed(**common, result="sent", contact=contact)
    item = Finishing(entry, entered.lease, outcome, clean=True)
    call = calls.finish(KEYS, [item], instance="p1", steps_ttl_s=60, take_next=False)
    assert calls.read_finish(await run(client, call))[0].held


def states(entered: Sequence[Entered]) -> list[str]:
    return [e.state for e in entered]


async def test_only_so_many_of_low_priority_start(client):
    """Two slots for replays: the third is parked, the new lead behind it starts."""
    for lead in ("R1", "R2", "R3"):
        await accept(client, lead, source="replay")
    await accept(client, "N1")
    entries = await read(client)
    assert states(await enter(client, entries, low=2)) == ["run", "run", "parked", "run"]
    assert (await client.xpending(KEYS.webhooks, GROUP))["pending"] == 4
    assert not await client.exists(KEYS.lease("R3"))


async def test_parked_entries_come_back_by_priority_then_arrival(client):
    """A tick hands out as many as it has slots for: updates before replays before reconcile."""
    await accept(client, "C", source="reconcile")
    await accept(client, "R1", source="replay")
    await accept(client, "R2", source="replay")
    await accept(client, "U", UPDATE)
    entries = {e.entry_id: e for e in await read(client)}
    assert states(await enter(client, list(entries.values()), low=0)) == ["parked"] * 4
    order = []
    for left in (3, 2, 1, 0):
        found = await tick(client, low=1, instance="p2")
        assert found.parked == left
        order += [entries[i].event.lead_id for i, _ in found.entries]
    assert order == ["U", "R1", "R2", "C"]
    assert states(await enter(client, list(entries.values()), instance="p2")) == ["run"] * 4


async def test_among_the_parked_nobody_waits_for_ever(client):
    """However many updates come, a reconciled lead goes before those that came half an hour later."""
    await accept(client, "C", source="reconcile")
    await accept(client, "U", UPDATE)
    entries = await read(client)
    await enter(client, entries, low=0)
    reconciled, update = entries
    assert [i for i, _ in (await tick(client, low=1)).entries] == [update.entry_id]
    # As if the update had come half an hour and a moment later.
    late_ms = 30 * 60_000 + 1_000
    await enter(client, [update], low=0)
    await client.zincrby(KEYS.parked, late_ms, update.entry_id)
    assert [i for i, _ in (await tick(client, low=1)).entries] == [reconciled.entry_id]


async def test_parked_entries_wait_where_there_is_no_slot(client):
    """A tick without slots for them leaves them alone, however long they have been idle."""
    await accept(client, "R1", source="replay")
    entries = await read(client)
    await enter(client, entries, low=0)
    found = await tick(client, low=0, min_idle_s=0)
    assert (found.entries, found.parked) == ([], 1)


async def test_losing_the_parked_key_loses_nothing(client):
    """The entries are pending still and come back by their idle time."""
    await accept(client, "R1", source="replay")
    [entry] = await read(client)
    await enter(client, [entry], low=0)
    await client.delete(KEYS.parked)
    assert [i for i, _ in (await tick(client, low=0, min_idle_s=0)).entries] == [entry.entry_id]


async def test_a_parked_entry_keeps_its_leads_order(client):
    """The close behind a parked update waits for it, though it needs no slot itself."""
    await accept(client, "L1", UPDATE)
    await accept(client, "L1", CLOSE)
    update, close = await read(client)
    assert states(await enter(client, [update, close], low=0)) == ["parked", "wait"]


async def test_idle_entries_beyond_a_parked_crowd_are_found(client):
    """With many parked in the way, all that a crashed owner left is claimed within a few ticks."""
    for n in range(30):
        await accept(client, f"R{n}", source="replay")
    for n in range(5):
        await accept(client, f"N{n}")
    entries = await read(client, "crashed")
    await enter(client, entries[:30], low=0, instance="crashed")
    taken, cursor = set(), "0-0"
    for _ in range(6):
        found = await tick(client, low=0, instance="p2", min_idle_s=0, most=2, cursor=cursor)
        taken |= {i for i, _ in found.entries}
        cursor = found.cursor
    assert taken == {e.entry_id for e in entries[30:]}


async def test_an_update_waits_for_more_of_its_kind(client):
    """It is due when it has settled; a create is not held up."""
    await accept(client, "L1", UPDATE)
    await accept(client, "L2")
    entries = await read(client)
    update, create = await enter(client, entries, settle_s=60)
    assert (update.state, create.state) == ("later", "run")
    assert 59 < update.due_s <= 60


async def test_of_a_burst_only_the_newest_update_is_worked(client):
    """Each older one runs to be told its successor at once, settled or not; the newest is told nothing."""
    ids = [await accept(client, "L1", UPDATE, f"v{n}") for n in range(4)]
    told = []
    for entry in await read(client):
        [entered] = await enter(client, [entry], settle_s=0)
        told.append(entered.superseded_by)
        await finish(client, entry, entered)
    assert told == [ids[3], ids[3], ids[3], ""]


async def test_a_create_is_never_superseded(client):
    """An update behind it changes nothing for it; nor does an update supersede for a close behind it."""
    await accept(client, "L1")
    await accept(client, "L1", UPDATE)
    await accept(client, "L1", CLOSE)
    create, update, _ = await read(client)
    [first] = await enter(client, [create])
    assert first.superseded_by == ""
    await finish(client, create, first)
    [second] = await enter(client, [update])
    assert (second.state, second.superseded_by) == ("run", "")


@pytest.mark.parametrize("source", ["replay", "followup", "trigger"])
async def test_only_webhooks_and_reconcile_collapse(client, source):
    """Replays, follow-ups and the old trigger's calls neither supersede nor are superseded, nor settle."""
    await accept(client, "L1", UPDATE, "v1", source)
    await accept(client, "L1", UPDATE, "v2")
    await accept(client, "L1", UPDATE, "v3", source)
    first, second, _ = await read(client)
    [entered] = await enter(client, [first], settle_s=60)
    assert (entered.state, entered.superseded_by) == ("run", "")
    await finish(client, first, entered)
    [entered] = await enter(client, [second])
    assert (entered.state, entered.superseded_by) == ("run", "")


async def test_what_may_have_been_sent_is_not_superseded(client):
    """An update with a send intent goes on to its own end."""
    await accept(client, "L1", UPDATE, "v1")
    [first] = await read(client)
    [entered] = await enter(client, [first])
    note = [Note(entered.lease, first.event.event_id, {"intent": "1.0"})]
    assert await run(client, holding.record(KEYS, note, steps_ttl_s=60)) == [1]
    await finish(client, first, entered, retry=True)
    await accept(client, "L1", UPDATE, "v2")
    [again] = await enter(client, [first])
    assert (again.state, again.superseded_by) == ("run", "")


async def test_superseded_updates_need_no_slot(client):
    """They make no call, so they end even while all slots for their kind are taken."""
    await accept(client, "L1", UPDATE, "v1")
    await accept(client, "L1", UPDATE, "v2")
    first, _ = await read(client)
    [entered] = await enter(client, [first], low=0)
    assert (entered.state, entered.superseded_by != "") == ("run", True)


async def test_the_next_event_learns_the_last_contact(client):
    """What a good end said of the contact is handed to the lead's next entry."""
    await accept(client, "L1")
    [create] = await read(client)
    [entered] = await enter(client, [create])
    assert entered.contact == ""
    await finish(client, create, entered, contact="abc")
    await accept(client, "L1", UPDATE)
    [update] = await read(client)
    [entered] = await enter(client, [update])
    assert entered.contact == "abc"
    assert 0 < await client.ttl(KEYS.state("L1")) <= 60
