"""Budget, priorities, breakers and fewest calls, with real engines and the sandbox as the world outside."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from support_engine import KEYS

from ops.append import Appender
from ops.redis import run
from schema import budget, outside
from schema.calls import Appending
from schema.events import WebhookAccepted
from schema.identity import CREATE, UPDATE, dedup_key, event_id_of


async def append(
    world, lead: str, *, action: str = CREATE, source: str = "webhook", version: str = "v", **customer
):
    """A webhook that carries its customer."""
    key = dedup_key(lead, action, version)
    body = {"id": lead, "hook_action": action, "attributes": {"customer": customer}}
    event = WebhookAccepted(
        event_id=event_id_of(key),
        lead_id=lead,
        action=action,
        version=version,
        source=source,
        received_at=datetime.now(UTC),
        payload=orjson.dumps(body).decode(),
    )
    door = Appender(world.redis, partitions=1, dedup_ttl_s=600, instance="door")
    return (await door.append(Appending(event, key))).event_id


PERSON = {"name": "Ana Souza", "phone": "11987654321", "email": "ana@example.com"}


async def test_a_new_lead_goes_before_queued_replays(world):
    """Five hundred replays fill stream and row; the new lead behind them is sent within a few turns."""
    for n in range(500):
        await append(world, f"replayed-{n}", source="replay", **PERSON)
    async with world.engine(c2s_rate_limit="300/minute", processor_concurrency=8):
        count = len(await world.ends(2))
        before = (await world.state())["calls"]
        await append(world, "fresh", phone="11987650000", email="fresh@example.com")
        while not any(end.lead_id == "fresh" for end in await world.ends(count)):
            count += 1
        after = (await world.state())["calls"]
    # Its own look-ups, and the time this test takes to notice, are a few turns of the replays' time.
    assert sum(after.values()) - sum(before.values()) < 40
    assert (await world.state())["throttled"]["c2s"] == 0


async def test_a_lead_that_waits_for_its_turn_keeps_its_lease(world):
    """The fleet is held back for longer than a lease lives: one attempt, nobody takes the lead over."""
    await run(world.redis, outside.call([budget.pause("c2s", 8)]))
    async with world.engine(lease_ttl_secs=6.0, heartbeat_secs=1.0, reclaim_idle_secs=7.0):
        await append(world, "patient", **PERSON)
        [end] = await world.ends(1)
    started = [e for e in await world.outcomes() if e.type == "processing_started"]
    assert (end.result, end.attempt, len(started)) == ("sent", 1, 1)
    assert (end.at - started[0].at).total_seconds() > 6


async def test_replays_go_on_while_new_leads_queue(world):
    """Six replays before eighty new leads: those that were parked get their share of slots and turns."""
    for n in range(6):
        await append(world, f"replayed-{n}", source="replay", phone=f"1198765{n}000")
    for n in range(80):
        await append(world, f"new-{n}", phone=f"1198766{n:02}11")
    async with world.engine(c2s_rate_limit="10/second", processor_concurrency=4):
        ends = await world.ends(86)
    places = [place for place, end in enumerate(ends) if end.lead_id.startswith("replayed")]
    # Each of its two turns may wait for nine of new leads: two replays are over before the last of those.
    assert places[1] < 80, places


async def test_while_an_api_is_down_no_attempt_is_spent(world):
    """Few calls reach the dead API, and all leads end well at their first attempts once it is back."""
    await world.fault(target="work.cpf", kind="error", status=500)
    async with world.engine(breaker_open_secs=0.3, max_attempts=8):
        for n in range(8):
            await world.accept(f"down-{n}")
        async with asyncio.timeout(20):
            while [getattr(e, "code", "") for e in await world.outcomes()].count("circuit_open") < 24:
                await world.redis.xread({KEYS.outcomes: "$"}, block=100)
        dead_calls = (await world.state())["calls"]["work.cpf"]
        await world.fault(clear=True)
        ends = await world.ends(8)
    assert {end.result for end in ends} == {"sent"}
    counted = [e for e in await world.outcomes() if e.type == "attempt_failed" and e.counted]
    # Those under way before it opened, and no more; the rest were probes.
    assert len(counted) <= 8
    assert dead_calls < 8 + 10


async def test_ten_updates_at_once_are_one_run(world):
    """The last state wins, the others end as superseded by it, and one message is sent."""
    async with world.engine(update_settle_secs=0.3):
        ids = [
            await append(world, "burst", action=UPDATE, version=f"v{n}", phone=f"1198765430{n}")
            for n in range(10)
        ]
        ends = await world.ends(10)
    worked = [end for end in ends if end.result != "superseded"]
    assert len(worked) <= 2
    assert worked[-1].event_id == ids[-1]
    assert {end.superseded_by for end in ends if end.result == "superseded"} <= set(ids[1:])
    assert len((await world.state())["messages"]["burst"]) == len([e for e in worked if e.result == "sent"])


async def test_an_update_is_answered_only_where_the_contact_changed(world):
    """The same contact: unchanged, without a look-up; another phone: a message. No projector runs."""
    async with world.engine():
        await append(world, "changing", **PERSON)
        await world.ends(1)
        before = (await world.state())["calls"]
        await append(world, "changing", action=UPDATE, version="v1", **PERSON)
        await world.ends(2)
        assert (await world.state())["calls"] == before
        await append(world, "changing", action=UPDATE, version="v2", **{**PERSON, "phone": "21987651234"})
        ends = await world.ends(3)
    assert [end.result for end in ends] == ["sent", "unchanged", "sent"]
    assert len((await world.state())["messages"]["changing"]) == 2


async def test_one_person_is_looked_up_once(world):
    """Ten leads of one person at once, on two instances: one call per question."""
    async with world.engine("p1"), world.engine("p2"):
        for n in range(10):
            await append(world, f"same-{n}", **PERSON)
        await world.ends(10)
    calls = (await world.state())["calls"]
    assert (calls["diretrix.phone"], calls["diretrix.email"]) == (1, 1)
    assert calls["work.cpf"] <= 2  # phone and e-mail may lead to two people
    keys = [k async for k in world.redis.scan_iter("c2s:{outside}:cache:*")]
    assert keys
    assert not any(b"987654321" in k or b"ana@" in k for k in keys)


async def test_a_lead_sent_without_its_profile_is_completed_once(world):
    """With send_without the broker reads at once that the profile follows; then it follows, once."""
    await world.fault(target="work.cpf", kind="error", status=500)
    changes = {"on_enrichment_down": "send_without", "breaker_open_secs": 0.3, "breaker_failures": 1}
    async with world.engine(**changes):
        await world.accept("waiting-1")
        [first] = await world.ends(1)
        await world.fault(clear=True)
        _, second = await world.ends(2)
    assert (first.result, second.result) == ("sent_without", "sent")
    assert first.event_id != second.event_id
    early, late = [message["body"] for message in (await world.state())["messages"]["waiting-1"]]
    assert "Perfil ainda não disponível" in early
    assert early.splitlines()[-1] == first.message_ref
    assert "Perfil ainda não disponível" not in late
    assert late.splitlines()[-1] == second.message_ref


async def test_nobody_found_is_told_where_asked(world):
    """NOTE_ON_NO_MATCH: still `no_match`, with a short message."""
    await world.accept("nomatch-2")
    async with world.engine(note_on_no_match=True):
        [end] = await world.ends(1)
    assert end.result == "no_match"
    [message] = (await world.state())["messages"]["nomatch-2"]
    assert message["body"].startswith("Nenhuma pessoa encontrada")


@pytest.mark.parametrize("status", [200, 500])
async def test_a_close_is_announced_and_a_failing_channel_harms_nothing(world, status):
    """One Slack-compatible text with nothing personal in it; errors are tried again shortly and left."""
    heard: list[dict] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(await request.json())
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/hook", hear)
    async with TestServer(app) as channel:
        await world.accept("closed-1", action="on_close_lead")
        async with world.engine(notify_url=SecretStr(str(channel.make_url("/hook")))):
            [end] = await world.ends(1)
    assert end.result == "recorded"
    assert heard == [{"text": "Lead closed-1 encerrado no C2S."}] * (1 if status == 200 else 3)
