"""What the services' /metrics say after real work: scraped over HTTP from services in this loop."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from support_engine import World

from ops.metrics import new_registry, served
from processor import service as processor
from projections import service as projector
from schema.errors import SettingsError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(serve, world: World, **changes: object) -> AsyncIterator[str]:
    """A service, stopped as SIGTERM would; the value is the address of its metrics."""
    port, stop = free_port(), asyncio.Event()
    settings = world.settings.model_copy(update={"metrics_port": port, **changes})
    task = asyncio.create_task(serve(settings, stop))
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        stop.set()
        await task


async def scrape(http: aiohttp.ClientSession, url: str) -> dict[str, float]:
    async with http.get(url) as answer:
        text = await answer.text()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def until(http: aiohttp.ClientSession, url: str, holds) -> dict[str, float]:
    """Scrape until it holds, or for ten seconds."""
    async with asyncio.timeout(10):
        while True:
            try:
                found = await scrape(http, url)
            except aiohttp.ClientConnectionError:
                found = {}
            if holds(found):
                return found
            await asyncio.sleep(0.05)


async def test_a_processor_counts_what_it_did(world: World):
    """A lead: one attempt, one outcome, its steps, its outside calls by API and answer; no id in a label."""
    event_id = await world.accept("m1")
    async with running(processor.serve, world) as url:
        (end,) = await world.ends(1)
        found = await until(world.http, url, lambda f: f.get("c2s_lead_seconds_count"))
    assert found['c2s_attempts_total{action="on_create_lead"}'] == 1
    assert found[f'c2s_outcomes_total{{outcome="{end.result}"}}'] == 1
    assert found['c2s_api_calls_total{api="c2s",call="create_message",status="ok"}'] == 1
    assert found['c2s_api_call_seconds_count{api="c2s",status="ok"}'] == 1
    assert found['c2s_step_seconds_count{step="send"}'] == 1
    assert found["c2s_in_flight"] == 0
    assert found['c2s_circuit_open{api="work"}'] == 0
    assert not any(event_id in name or "m1" in name for name in found)


async def test_failures_and_retries_show_by_kind(world: World):
    """A 500 of an API is its failed attempt and a 5xx; the retry that follows is another attempt."""
    await world.fault(target="diretrix.phone", kind="error", status=500, times=1)
    await world.fault(target="diretrix.email", kind="error", status=500, times=1)
    await world.accept("m2")
    async with running(processor.serve, world, breaker_failures=100) as url:
        await world.ends(1)
        found = await until(world.http, url, lambda f: f.get("c2s_lead_seconds_count"))
    assert found['c2s_outcomes_total{outcome="failed"}'] >= 1
    assert found['c2s_attempts_total{action="on_create_lead"}'] >= 2
    assert sum(v for name, v in found.items() if re.match(r"c2s_api_calls_total.*diretrix.*5xx", name)) >= 1


async def test_an_open_breaker_shows(world: World):
    """One API is down: its breaker is open, and the others' are not."""
    await world.fault(target="work.cpf", kind="error", status=500)
    await world.accept("m3")
    changes = {"breaker_failures": 1, "breaker_open_secs": 60, "breaker_open_max_secs": 60}
    async with running(processor.serve, world, **changes) as url:
        found = await until(world.http, url, lambda f: f.get('c2s_circuit_open{api="work"}'))
    assert {found[f'c2s_circuit_open{{api="{api}"}}'] for api in ("c2s", "diretrix")} == {0}


async def test_the_active_projector_tells_what_waits_in_redis(world: World):
    """Without a processor all webhooks are undelivered; with one none waits, and all is on record."""
    for lead in ("w1", "w2", "w3"):
        await world.accept(lead)
    async with running(projector.serve, world, block_secs=0.2) as url:
        found = await until(world.http, url, lambda f: f.get("c2s_record_lag_seconds") == 0)
        assert found["c2s_projector_active"] == 1
        assert found['c2s_queue_entries{state="undelivered"}'] == 3
        assert found["c2s_queue_oldest_seconds"] > 0
        assert found["c2s_redis_memory_bytes"] > 100_000
        async with running(processor.serve, world):
            await world.ends(3)
        done = await until(
            world.http, url, lambda f: f.get('c2s_projector_entries_total{stream="outcomes"}', 0) >= 6
        )
    assert done['c2s_projector_entries_total{stream="webhooks"}'] == 3
    assert done["c2s_projector_batch_entries_sum"] >= 9
    assert done['c2s_queue_entries{state="undelivered"}'] == done['c2s_queue_entries{state="pending"}'] == 0
    assert done["c2s_dead_letters"] == 0


async def test_a_projector_that_stands_by_says_nothing_of_the_fleet(world: World):
    """Each number of the fleet has one source: the active projector."""
    async with running(projector.serve, world, block_secs=0.2) as active:
        await until(world.http, active, lambda f: "c2s_queue_oldest_seconds" in f)
        async with running(projector.serve, world, block_secs=0.2) as standby:
            found = await until(world.http, standby, lambda f: "c2s_projector_active" in f)
    assert found["c2s_projector_active"] == 0
    assert not [name for name in found if name.startswith(("c2s_queue", "c2s_record", "c2s_redis"))]


def test_a_port_that_is_taken_names_its_setting():
    """Two processes with one METRICS_PORT: the second says which setting is wrong."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104 -- as the server binds
        taken.listen()
        with (
            pytest.raises(SettingsError, match="METRICS_PORT"),
            served(new_registry(), taken.getsockname()[1]),
        ):
            pass
