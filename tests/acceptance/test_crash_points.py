"""Crash at each side of every durable effect: the lead reaches its end, with one message."""

from datetime import UTC, datetime

import aiohttp
from support_waiting import until

from chaos import facts
from chaos.invariants import verdicts
from chaos.sender import Accepted
from chaos.system import LEASE_TTL_S, System, running
from ops.crashpoints import POINTS
from ops.sandbox.webhooks import signature, webhook_body


async def post(system: System, body: bytes) -> str:
    """The event id of a webhook that was answered 200, sent again until it is."""

    async def answered() -> str | None:
        ready = system.ready
        headers = {"X-C2S-Signature": signature(body, ready["webhook_secret"])}
        try:
            async with system.http.post(ready["webhook_url"], data=body, headers=headers) as answer:
                return (await answer.json())["event_id"] if answer.status == 200 else None
        except aiohttp.ClientError:
            return None

    return await until(answered)


async def at_rest(system: System, event_id: str) -> None:
    """Until the event reached its end and nothing of it is under way."""
    ready = system.ready
    await until(
        lambda: facts.unsettled(ready["database_url"], ready["redis_url"], {event_id}),
        lambda rest: not rest,
        60,
    )


async def test_a_crash_at_any_point_loses_nothing_and_repeats_nothing(tmp_path):
    """For each named point: one process dies exactly there; then every invariant holds."""
    order = tmp_path / "crash-at"
    accepted: dict[str, list[Accepted]] = {}
    async with running(tmp_path / "up", processors=2, CRASH_FILE=str(order)) as system:
        for point in POINTS:
            order.write_text(point)
            lead = "crash-" + point.replace(".", "-").replace("_", "-")
            body = webhook_body(lead, "on_create_lead", "seed", datetime.now(UTC))
            event_id = await post(system, body)
            accepted[lead] = [Accepted(event_id, "accepted", 1)]
            await at_rest(system, event_id)
            assert not order.exists(), f"nothing reached {point}"
        messages = (await system.sandbox())["messages"]
        ready = system.ready
        assert len(messages) == len(POINTS)
        assert {len(texts) for texts in messages.values()} == {1}
        found = await facts.gather(ready["database_url"], ready["redis_url"], messages)
        broken = {name: what for name, what in verdicts(found, accepted, LEASE_TTL_S).items() if what}
        assert broken == {}
