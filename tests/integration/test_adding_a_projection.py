"""docs/adding-a-projection.md, run word for word."""

import importlib.util
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest
from support_facts import KEYS, World

from ops.migrate import migrate
from ops.redis import Client, blocking_client
from projections.models import models
from projections.projector import Projector, read_models
from projections.rebuild.run import Rebuild
from schema.codec import PlainCodec
from schema.events import WebhookAccepted, encode

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-projection.md"


def block(language: str) -> str:
    """The page's first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "closed_leads.py"
    path.write_text(block("python"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("closed_leads", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(database_url)
    conn = await asyncpg.connect(database_url, server_settings={"timezone": "UTC"})
    yield conn
    await conn.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = blocking_client(redis_url, block_s=1)
    yield client
    await client.aclose()


async def project(made: Projector, redis: Client, worlds: list[World]) -> dict[str, tuple]:
    """Put the worlds' facts through; what the new table must then hold of them."""
    closed: dict[str, tuple] = {}
    for world in worlds:
        for stream, entry_id, event in world.entries:
            await redis.xadd(stream, encode(event), id=entry_id)
            if isinstance(event, WebhookAccepted) and event.action == "on_close_lead":
                closed[event.lead_id] = (event.lead_id, event.received_at, event.event_id)
    while await made.poll_once(0):
        pass
    return closed


async def test_a_new_read_model_is_filled_from_history_and_goes_on(db, redis, module):
    """One migration, one module: a rebuild fills the table with the past, the projector with the future."""
    old = read_models(PlainCodec())
    before = Projector(db, redis, partitions=1, batch=100, models=old)
    closed = await project(before, redis, [World(n, f"{n}-", n * 60_000) for n in range(6)])
    assert closed

    await db.execute(block("sql"))
    every = (*models(PlainCodec()), module.MODEL)
    after = Projector(db, redis, partitions=1, batch=7, models=(*old, module.apply))
    closed |= await project(after, redis, [World(7, "7-", 7 * 60_000)])
    report = await Rebuild(db, redis, every, lambda *_: None).swap()
    verdict = report.tables["closed_leads"]
    assert verdict.differences > 0
    assert report.differences == verdict.differences
    assert verdict.rows == len(closed)

    closed |= await project(after, redis, [World(8, "8-", 8 * 60_000)])
    rows = await db.fetch("SELECT lead_id, closed_at, event_id::text FROM closed_leads")
    assert {row["lead_id"]: tuple(row) for row in rows} == closed
    checked = await Rebuild(db, redis, every, lambda *_: None).check()
    assert (checked.differences, checked.examples) == (0, [])
    assert await redis.xlen(KEYS.webhooks) > 0
    silent = await db.fetchval(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'closed_leads'::regclass AND attnum > 0"
        " AND col_description(attrelid, attnum) IS NULL"
    )
    assert silent == 0
