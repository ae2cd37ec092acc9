"""`c2s subject` as an operator types it, on real servers: show, export, erase; each look is noted."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from support_engine import World, projecting
from support_forks import run_c2s
from support_subjects import places_of

from ops.sandbox.people import invent

LEAD = "asked-1"


@pytest.fixture
async def db(world: World) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(world.settings.database_url.get_secret_value())
    yield conn
    await conn.close()


async def subject(
    world: World, *arguments: str, cwd: Path, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    env = {"TZ": "UTC", "REDIS_URL": world.settings.redis_url.get_secret_value(), "C2S_TOKEN": "t"}
    env |= {"DATABASE_URL": world.settings.database_url.get_secret_value()}
    return await asyncio.to_thread(run_c2s, "subject", *arguments, env=env, cwd=cwd, says=answer)


async def test_a_person_is_shown_exported_and_erased(world, db, tmp_path):
    """Asked for on standard input; the export has all of it and its way; afterwards nothing is held."""
    person = invent(LEAD).phone_person
    await world.accept(LEAD)
    async with projecting(world) as catch_up:
        async with world.engine():
            await world.ends(1)
        await catch_up()
    whose = f"{invent(LEAD).phone}\n\n\n"
    shown = await subject(world, "show", "--reason", "r1", "--json", cwd=tmp_path, answer=whose)
    assert shown.returncode == 0, shown.stderr
    [row] = json.loads(shown.stdout[shown.stdout.index("[") :])
    assert (row["lead_id"], row["webhooks"], row["messages"], row["people"]) == (LEAD, 1, 1, 1)

    done = await subject(world, "export", "--reason", "r2", "--out", "held", cwd=tmp_path, answer=whose)
    assert done.returncode == 0, done.stderr
    held = json.loads((tmp_path / "held.json").read_text(encoding="utf-8"))["leads"][LEAD]
    assert held["people"][0]["cpf"] == person.cpf
    assert held["people"][0]["name"] == person.name
    [webhook] = held["webhooks"]
    assert webhook["came_from"] == "C2S, by webhook"
    assert webhook["went_to"].startswith(f"C2S, as a message on lead {LEAD}")
    assert person.name in json.dumps(webhook["body"], ensure_ascii=False)
    page = (tmp_path / "held.html").read_text(encoding="utf-8")
    assert person.name in page
    assert (tmp_path / "held.html").stat().st_mode & 0o077 == 0

    refused = await subject(world, "erase", "--reason", "r3", cwd=tmp_path, answer=whose + "n\n")
    assert refused.returncode == 1
    assert await db.fetchval("SELECT count(*) FROM erased_events") == 0
    erased = await subject(world, "erase", "--reason", "r3", "--yes", cwd=tmp_path, answer=whose)
    assert erased.returncode == 0, erased.stderr
    assert await places_of(world.redis, db, [person.name, person.cpf, person.phone, person.email]) == set()
    again = await subject(world, "show", "--reason", "r4", cwd=tmp_path, answer=whose)
    assert again.returncode == 1
    notes = await db.fetch(
        "SELECT action, reason, affected FROM operator_actions WHERE via = 'cli' ORDER BY id"
    )
    assert [tuple(n) for n in notes] == [
        ("subject_shown", "r1", 1),
        ("subject_exported", "r2", 1),
        ("subject_shown", "r3", 1),
        ("subject_shown", "r3", 1),
        ("subject_erased", "r3", 1),
        ("subject_shown", "r4", 0),
    ]


async def test_what_is_no_phone_is_refused(world, tmp_path):
    """Wrong use names the option, never what was typed."""
    done = await subject(world, "show", "--reason", "r", "--phone", "abc-123", cwd=tmp_path)
    assert done.returncode == 1
    assert "that is no phone" in done.stderr
    assert "abc-123" not in done.stderr
