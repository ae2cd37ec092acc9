"""The sandbox on a real socket: every fault that it can be told to make, and its other controls."""

import asyncio
import signal
import socket
import sys

import aiohttp
import pytest
from support_sandbox import (
    BASIC,
    BEARER,
    MESSAGE,
    WORK,
    get,
    order,
    post,
    receiver,
    sandbox,
    state_of,
)

from ops.sandbox import people
from ops.sandbox.inflict import HUGE_BYTES
from ops.sandbox.webhooks import SHAPES, signature

# --- Faults --------------------------------------------------------------------------------------


@pytest.fixture
async def client():
    async with sandbox() as running:
        yield running


@pytest.mark.parametrize(
    ("kind", "status", "counted"),
    [("error", 503, 1), ("429", 429, 0), ("unauthorized", 403, 1), ("html", 200, 1)],
)
async def test_faults_that_answer_have_no_effect(client, kind, status, counted):
    """The answer is the fault's, nothing is kept, and it happens as often as ordered."""
    await order(client, "c2s.create_message", kind, times=1, status=503, retry_after=7)
    async with client.post(MESSAGE, json={"body": "x"}, headers=BEARER) as response:
        assert response.status == status
        assert response.headers.get("Retry-After") == ("7" if kind == "429" else None)
        assert response.content_type == ("text/html" if kind == "html" else "application/json")
    state = await state_of(client)
    assert (state["messages"], state["calls"]["c2s.create_message"]) == ({}, counted)
    assert state["throttled"] == {"c2s": 1 - counted, "diretrix": 0, "work": 0}
    assert (await post(client, MESSAGE, {"body": "x"}))[0] == 201


@pytest.mark.parametrize(("kind", "kept"), [("reset", 0), ("lost_reply", 1)])
async def test_faults_that_break_the_connection(client, kind, kept):
    """`reset` comes before the effect, `lost_reply` after it."""
    await order(client, "c2s", kind, times=1)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await post(client, MESSAGE, {"body": "x"})
    state = await state_of(client)
    assert len(state["messages"].get("L1", [])) == kept
    assert state["calls"]["c2s.create_message"] == 1


async def test_a_reset_is_a_tcp_reset(client):
    """The peer sees RST, as from a crashed server, not an orderly end."""
    await order(client, "c2s", "reset", times=1)
    url = client._base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /integration/company HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t0ken\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_timeout_never_answers(client):
    """The client gives up; nothing was kept, and the sandbox lives on."""
    await order(client, "c2s.create_message", "timeout", times=1)
    with pytest.raises(TimeoutError):
        await post(client, MESSAGE, {"body": "x"}, timeout=aiohttp.ClientTimeout(total=0.2))
    state = await state_of(client)
    assert (state["messages"], state["calls"]["c2s.create_message"]) == ({}, 1)


async def test_slow_answers_late_but_well(client):
    """A patient client gets its answer, an impatient one leaves a message behind all the same."""
    await order(client, "c2s.create_message", "slow", times=1, seconds=0.05)
    started = asyncio.get_running_loop().time()
    assert (await post(client, MESSAGE, {"body": "x"}))[0] == 201
    assert asyncio.get_running_loop().time() - started >= 0.05


async def test_huge_answers_forty_megabytes(client):
    """The answer goes on beyond any sensible cap; leaving early is fine."""
    await order(client, "work", "huge", times=2)
    async with client.get("/api", params=WORK) as response:
        assert response.content_length is None
        assert len(await response.read()) > HUGE_BYTES
    async with client.get("/api", params=WORK) as response:
        await response.content.readexactly(1000)
        response.close()
    assert (await get(client, "/api", params=WORK))[0] == 200


async def test_malformed_answers(client):
    """`list`, `nulls` and `strings` spoil the real answer."""
    for kind in ("list", "nulls", "strings"):
        await order(client, "work.cpf", kind, times=1)
    assert isinstance((await get(client, "/api", params=WORK))[1], list)
    assert (await get(client, "/api", params=WORK))[1]["DadosBasicos"]["nome"] is None
    assert isinstance((await get(client, "/api", params=WORK))[1]["status"], str)
    await order(client, "diretrix.email", "nulls", times=1)
    found = await get(client, "/Consultas/Pessoa/Email/a@example.com", headers=BASIC)
    assert found == (200, [{"nome": None, "cpf": None}])


async def test_probability_and_clear(client):
    """Probability 0 never hits; `clear` cancels what has no end."""
    await order(client, "c2s", "error", probability=0.0)
    assert (await get(client, "/integration/company"))[0] == 200
    await order(client, "c2s", "error", probability=0.5)
    statuses = [(await get(client, "/integration/company"))[0] for _ in range(60)]
    assert {200, 500} == set(statuses)
    assert await post(client, "/_sandbox/faults", {"clear": True}) == (200, {"faults": []})
    assert {(await get(client, "/integration/company"))[0] for _ in range(10)} == {200}


@pytest.mark.parametrize(
    "body",
    [
        {"target": "c2s.nothing", "kind": "error"},
        {"target": "c2s", "kind": "explode"},
        {"target": "c2s"},
        {"target": "c2s", "kind": "error", "time": 1},
        {"target": "c2s", "kind": "error", "times": 0},
        {},
        [],
    ],
)
async def test_a_wrong_fault_is_refused(client, body):
    """422 with the reason: a typo must not make a test pass for nothing."""
    status, answer = await post(client, "/_sandbox/faults", body)
    assert status == 422
    assert answer["error"]


# --- Control -------------------------------------------------------------------------------------


async def test_the_state_has_every_key_from_the_start(client):
    """Counters are there before the first call."""
    state = await state_of(client)
    assert set(state) == {"messages", "calls", "throttled", "webhooks_sent", "subscription"}
    assert set(state["calls"].values()) == {0}
    assert len(state["calls"]) == 10
    assert state["throttled"] == {"c2s": 0, "diretrix": 0, "work": 0}


@pytest.mark.parametrize("shape", SHAPES)
async def test_made_leads_are_delivered_signed(shape):
    """Each lead's webhook arrives once, in the shape asked for, signed over its raw bytes."""
    async with receiver() as (url, kept), sandbox(webhook_url=url, webhook_secret="s3cret") as client:
        wish = {"count": 2, "prefix": "twins-", "deliver": True, "action": "on_update_lead", "shape": shape}
        status, answer = await post(client, "/_sandbox/leads", wish)
        assert status == 201
        assert [delivery["status"] for delivery in answer["deliveries"]] == [200, 200]
        assert len(set(answer["ids"])) == 2
        for lead_id, (path, headers, body) in zip(answer["ids"], kept, strict=True):
            assert lead_id.startswith("twins-")
            assert lead_id.encode() in body
            assert headers["X-C2S-Signature"] == signature(body, "s3cret")
            assert path == ("/hook?action=on_update_lead" if shape == "get" else "/hook")
        assert (await state_of(client))["webhooks_sent"] == 2


async def test_the_subscription_gets_the_webhooks():
    """The subscribed endpoint replaces the configured one, with its own secret, for its actions only."""
    async with (
        receiver() as (url, kept),
        sandbox(webhook_url="http://127.0.0.1:9/", webhook_secret="a") as client,
    ):
        wish = {"url": url, "action": "on_create_lead", "secret": "b"}
        await post(client, "/integration/leads/subscribe", wish)
        made = (await post(client, "/_sandbox/leads", {"count": 1, "deliver": True}))[1]
        assert made["deliveries"][0]["status"] == 200
        _, headers, body = kept[0]
        assert headers["X-C2S-Signature"] == signature(body, "b")
        updated = (await post(client, f"/_sandbox/leads/{made['ids'][0]}", {"deliver": True}))[1]
        assert "no endpoint" in updated["deliveries"][0]["error"]
        assert len(kept) == 1


async def test_dropped_webhooks_never_arrive():
    """Exactly the share asked for is lost; the leads exist all the same."""
    async with receiver() as (url, kept), sandbox(webhook_url=url) as client:
        answer = (await post(client, "/_sandbox/leads", {"count": 10, "deliver": True, "drop": 0.3}))[1]
        assert sum("dropped" in delivery for delivery in answer["deliveries"]) == 3
        assert len(kept) == 7
        assert "X-C2S-Signature" not in kept[0][1]
        assert (await get(client, "/integration/leads"))[1]["meta"]["total"] == 10


async def test_an_endpoint_that_is_down_is_told(client):
    """The delivery names the failure; nothing counts as sent, nothing is retried."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        answer = (await post(client, "/_sandbox/leads", {"count": 1, "deliver": True, "url": url}))[1]
    assert answer["deliveries"][0]["error"] == "ClientConnectorError"
    assert (await state_of(client))["webhooks_sent"] == 0


async def test_updates_move_the_lead_on(client):
    """Two updates at one instant have two versions; closing archives."""
    versions = []
    for _ in range(2):
        lead = (await post(client, "/_sandbox/leads/L1", {"attributes": {"customer": {"name": "Novo"}}}))[1]
        versions.append(lead["attributes"]["updated_at"])
    assert len(set(versions)) == 2
    shown = (await get(client, "/integration/leads/L1"))[1]["data"]["attributes"]
    assert shown["customer"]["name"] == "Novo"
    assert shown["customer"]["email"] == people.invent("L1").email
    closed = (await post(client, "/_sandbox/leads/L1", {"action": "on_close_lead"}))[1]
    assert closed["attributes"]["archive_details"]["archived"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"count": -1},
        {"drop": 2},
        {"shape": "round"},
        {"leads": [{"id": "missing-1"}]},
        {"leads": [{"id": "a b"}]},
        {"count": 1, "prefix": "{"},
        {"leads": [{"id": "L1", "attributes": {"created_at": "yesterday"}}]},
    ],
)
async def test_wrong_leads_are_refused(client, body):
    """422 with the reason."""
    status, answer = await post(client, "/_sandbox/leads", body)
    assert status == 422
    assert answer["error"]


async def test_reset_forgets_everything():
    """Leads, messages, counters, faults, subscription and the spent budget are gone."""
    async with sandbox(c2s_rate_limit="2/minute") as client:
        fresh = await state_of(client)
        await post(client, MESSAGE, {"body": "x"})
        await post(client, "/_sandbox/leads", {"count": 1})
        await order(client, "c2s", "error")
        await get(client, "/integration/company")
        assert await post(client, "/_sandbox/reset", {}) == (200, {"status": "ok"})
        assert await state_of(client) == fresh
        assert (await get(client, "/integration/leads"))[1]["data"] == []
        assert (await get(client, "/integration/company"))[0] == 200


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_stops_at_once_and_well(sent):
    """`python -m ops.sandbox` obeys its environment, and a signal ends it with 0, even mid-call."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    environ = {"C2S_TOKEN": "t0ken", "C2S_RATE_LIMIT": "1/minute", "SANDBOX_C2S_RATE_LIMIT": "3/minute"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.sandbox", "--port", port, env=environ, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert b"Running on" in await process.stdout.readline()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            statuses = [(await get(client, "/integration/company"))[0] for _ in range(3)]
            await order(client, "diretrix", "timeout")
            headers = {"Authorization": aiohttp.encode_basic_auth("sandbox", "sandbox")}
            waiting = asyncio.create_task(get(client, "/Consultas/Pessoa/52998224725", headers=headers))
            while (await state_of(client))["calls"]["diretrix.cpf"] == 0:
                assert not waiting.done()
            process.send_signal(sent)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            await asyncio.gather(waiting, return_exceptions=True)
        assert statuses == [200, 200, 200]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_wrong_rate_limit_is_named():
    """The process refuses to start with exit code 2 and says which setting it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.sandbox",
        "--port",
        "1",
        env={"SANDBOX_C2S_RATE_LIMIT": "often"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"SANDBOX_C2S_RATE_LIMIT" in complaint
