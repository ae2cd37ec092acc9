"""The great losses on real processes: Redis wiped amid the work, Redis away for long."""

import asyncio
import os
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import redis.asyncio as aioredis
from support_forks import run_c2s
from support_waiting import until

from chaos.facts import left_in, unsettled
from chaos.system import System, running
from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis
from ops.sandbox.webhooks import signature, webhook_body

LEADS = 500
RATE = 20  # webhooks a second
OUTAGE_S = float(os.environ.get("OUTAGE_SECS") or 20)  # `make outage` takes 60

_FINAL = "SELECT count(*) FROM webhook_events WHERE status IN ('success', 'failed')"
_STARTED = """
SELECT l.lead_id, l.event_id::text AS event_id FROM event_log l
WHERE l.stream = 'outcomes' AND l.type = 'processing_started'
ORDER BY l.recorded_at, split_part(l.entry_id, '-', 2)::int
"""


async def post(system: System, body: bytes) -> dict:
    headers = {"X-C2S-Signature": signature(body, system.ready["webhook_secret"])}
    async with system.http.post(system.ready["webhook_url"], data=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def all_settled(system: System, accepted: set[str]) -> None:
    """Until every event is final on record and nothing of it is left in Redis."""
    ready = system.ready
    await until(
        lambda: unsettled(ready["database_url"], ready["redis_url"], accepted), lambda rest: not rest, 180
    )


async def test_redis_wiped_amid_five_hundred_leads(tmp_path: Path) -> None:
    """Row 38: FLUSHALL while they are in work, then `c2s recover`: all 500 final, each lead messaged once."""
    async with running(tmp_path / "up", processors=2, PROCESSOR_CONCURRENCY="8") as system:
        ready = system.ready
        await system.fault(target="diretrix", kind="slow", seconds=0.3)  # so that the wipe finds them in work
        bodies = [
            webhook_body(f"wiped-{n}", "on_create_lead", "data", datetime.now(UTC)) for n in range(LEADS)
        ]
        accepted = {answer["event_id"] for answer in await asyncio.gather(*(post(system, b) for b in bodies))}
        assert len(accepted) == LEADS
        db = await asyncpg.connect(ready["database_url"])
        archived = "SELECT count(*) FROM event_log WHERE stream = 'webhooks'"
        await until(lambda: db.fetchval(archived), lambda n: n == LEADS, 120)
        done = await until(lambda: db.fetchval(_FINAL), lambda n: n >= 50, 120)
        async with aioredis.Redis.from_url(ready["redis_url"]) as client:
            await client.flushall()
        assert done < LEADS - 50
        env = {"REDIS_URL": ready["redis_url"], "DATABASE_URL": ready["database_url"]}
        recovered = await asyncio.to_thread(run_c2s, "recover", cwd=tmp_path, env=env)
        assert recovered.returncode == 0, recovered.stderr
        await system.fault(clear=True)
        await all_settled(system, accepted)
        messages = (await system.sandbox())["messages"]
        assert len(messages) == LEADS
        assert {len(texts) for texts in messages.values()} == {1}
        assert await db.fetchval(_FINAL) == LEADS
        assert await left_in(ready["redis_url"]) == []
        await db.close()


async def test_redis_away_under_load(tmp_path: Path) -> None:
    """Row 21: Redis off under 20 webhooks a second: each is answered `spooled`, all final after, in order."""
    with EmbeddedRedis(tmp_path / "redis") as own_redis:
        async with running(tmp_path / "up", processors=2, REDIS_URL=own_redis.url) as system:
            own_redis.stop()
            sent: dict[str, list[str]] = defaultdict(list)
            begun = asyncio.get_running_loop().time()
            for n in range(round(RATE * OUTAGE_S)):
                await asyncio.sleep(max(0.0, begun + n / RATE - asyncio.get_running_loop().time()))
                lead, action = f"away-{n % 40}", "on_create_lead" if n < 40 else "on_update_lead"
                answer = await post(system, webhook_body(lead, action, "data", datetime.now(UTC)))
                assert answer["status"] == "spooled"
                sent[lead].append(answer["event_id"])
            await asyncio.to_thread(own_redis.start)
            accepted = {event_id for events in sent.values() for event_id in events}
            assert len(accepted) == round(RATE * OUTAGE_S)
            await all_settled(system, accepted)
            ready = system.ready
            db = await asyncpg.connect(ready["database_url"])
            worked: dict[str, list[str]] = defaultdict(list)
            for row in await db.fetch(_STARTED):
                if row["event_id"] not in worked[row["lead_id"]]:
                    worked[row["lead_id"]].append(row["event_id"])
            duplicates = await db.fetchval("SELECT count(*) FROM webhook_duplicates")
            await db.close()
            left = await left_in(own_redis.url)
            messages = (await system.sandbox())["messages"]
    assert worked == sent
    assert duplicates == 0
    assert left == []
    assert {lead: len(messages[lead]) for lead in sent} == dict.fromkeys(sent, 1)


async def test_postgres_away_under_load(tmp_path: Path) -> None:
    """Row 35: Postgres stopped: webhooks are accepted and messages sent; back again, each has its one row."""
    own_postgres = EmbeddedPostgres(tmp_path / "postgres", fsync=False)
    try:
        with own_postgres:
            async with running(tmp_path / "up", processors=2, DATABASE_URL=own_postgres.url) as system:
                await asyncio.to_thread(own_postgres.stop)
                leads = [f"rowless-{n}" for n in range(30)]
                answers = [
                    await post(system, webhook_body(lead, "on_create_lead", "data", datetime.now(UTC)))
                    for lead in leads
                ]
                assert {answer["status"] for answer in answers} == {"accepted"}
                await until(system.sandbox, lambda told: len(told["messages"]) == len(leads), 120)
                await asyncio.to_thread(own_postgres.start)
                await all_settled(system, {answer["event_id"] for answer in answers})
                messages = (await system.sandbox())["messages"]
                db = await asyncpg.connect(system.ready["database_url"])
                rows = await db.fetch("SELECT lead_id, status FROM webhook_events")
                await db.close()
    finally:
        own_postgres.delete()
    assert sorted(row["lead_id"] for row in rows) == sorted(leads)
    assert {row["status"] for row in rows} == {"success"}
    assert {lead: len(messages[lead]) for lead in leads} == dict.fromkeys(leads, 1)
