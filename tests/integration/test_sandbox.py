"""The sandbox on a real socket: every call, the budget, every fault, and the control endpoints."""

import asyncio
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.sandbox import people
from ops.sandbox.app import SandboxConfig, create_app
from ops.sandbox.inflict import HUGE_BYTES
from ops.sandbox.webhooks import SHAPES, signature

BEARER = {"Authorization": "Bearer t0ken"}
BASIC = {"Authorization": aiohttp.encode_basic_auth("user", "pass")}
MESSAGE = "/integration/leads/L1/create_message"
WORK = {"token": "key", "modulo": "cpf", "consulta": "52998224725"}


def config(**changes) -> SandboxConfig:
    """A configuration without latency and limit."""
    known = {"c2s_token": "t0ken", "diretrix_user": "user", "diretrix_pass": "pass", "work_api_key": "key"}
    return SandboxConfig(**(known | changes))


class Clock:
    """A monotonic clock and a calendar that move when told to."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def now(self):
        return datetime(2026, 1, 21, 10, 30, tzinfo=UTC) + timedelta(seconds=self.seconds)


@asynccontextmanager
async def sandbox(clock=None, **changes):
    """A client of a running sandbox."""
    clock = clock or Clock()
    app = create_app(config(**changes), now=clock.now, monotonic=clock.monotonic)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as client:
        yield client


@pytest.fixture
async def client():
    async with sandbox() as running:
        yield running


async def get(client, path, **more):
    async with client.get(path, **({"headers": BEARER} | more)) as response:
        return response.status, orjson.loads(await response.read())


async def post(client, path, body, **more):
    async with client.post(path, json=body, **({"headers": BEARER} | more)) as response:
        return response.status, orjson.loads(await response.read())


async def state_of(client):
    return (await get(client, "/_sandbox/state"))[1]


async def order(client, target, kind, **more):
    status, answer = await post(client, "/_sandbox/faults", {"target": target, "kind": kind} | more)
    assert status == 200, answer


@asynccontextmanager
async def receiver():
    """An endpoint that keeps what it is sent."""
    kept = []

    async def keep(request):
        kept.append((request.path_qs, dict(request.headers), await request.read()))
        return web.json_response({"status": "accepted"})

    app = web.Application()
    app.router.add_post("/hook", keep)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook")), kept


# --- C2S -----------------------------------------------------------------------------------------


async def test_any_lead_exists_and_stays_the_same(client):
    """A lead nobody made is invented from its id, in C2S's shape."""
    first, again = await get(client, "/integration/leads/L1"), await get(client, "/integration/leads/L1")
    assert first == again
    status, body = first
    assert status == 200
    assert (body["data"]["type"], body["data"]["id"]) == ("lead", "L1")
    assert body["data"]["attributes"]["customer"]["email"] == people.invent("L1").email


@pytest.mark.parametrize("lead_id", ["missing-1", "a%20b", "x" * 129])
async def test_a_missing_lead_is_404(client, lead_id):
    """Ids that begin with missing-, and ids that cannot name a lead, are not found; nor take messages."""
    url = aiohttp.client.URL(f"/integration/leads/{lead_id}", encoded=True)
    assert (await get(client, url))[0] == 404
    assert (await post(client, aiohttp.client.URL(f"{url}/messages", encoded=True), {"body": "x"}))[0] == 404
    assert (await state_of(client))["messages"] == {}


@pytest.mark.parametrize("path", [MESSAGE, "/integration/leads/L1/messages"])
async def test_a_message_is_kept(client, path):
    """201; the message is in the lead's messages and log, and in the state."""
    assert (await post(client, path, {"body": "olá\nref: abc"}))[0] == 201
    attributes = (await get(client, "/integration/leads/L1"))[1]["data"]["attributes"]
    assert [message["message"] for message in attributes["messages"]] == ["olá\nref: abc"]
    assert attributes["log"][-1]["body"] == "olá\nref: abc"
    state = await state_of(client)
    assert state["messages"] == {"L1": [{"body": "olá\nref: abc", "at": "2026-01-21T10:30:00.000000Z"}]}
    assert (state["calls"]["c2s.create_message"], state["calls"]["c2s.get_lead"]) == (1, 1)


@pytest.mark.parametrize("body", [{}, {"body": ""}, {"body": 5}, [], "text"])
async def test_a_message_without_text_is_422(client, body):
    """Nothing is kept of it."""
    assert (await post(client, MESSAGE, body))[0] == 422
    assert (await state_of(client))["messages"] == {}


async def test_either_header_carries_the_token(client):
    """The older `Authentication` header is accepted too; a bad or missing token is 403 on every path."""
    assert (await get(client, "/integration/company", headers={"Authentication": "Bearer t0ken"}))[0] == 200
    for path in ("/integration/company", "/integration/me", "/me"):
        assert (await get(client, path))[0] == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "t0ken"}):
            assert await get(client, path, headers=headers) == (403, {"error": "not_authorized"})


async def test_the_list_pages_sorts_and_filters():
    """Newest first, at most 50 a page; only leads that were made are listed."""
    clock = Clock()
    async with sandbox(clock) as client:
        await get(client, "/integration/leads/only-looked-at")
        for index in range(60):
            clock.seconds = float(index)
            await post(client, "/_sandbox/leads", {"leads": [{"id": f"L{index}"}]})
        clock.seconds = 100.0
        await post(client, "/_sandbox/leads/L0", {"attributes": {"observation": "ligar"}})
        path = "/integration/leads"
        first = (await get(client, path, params={"perpage": "500"}))[1]
        assert [lead["id"] for lead in first["data"]] == [f"L{59 - index}" for index in range(50)]
        second = (await get(client, path, params={"perpage": "50", "page": "2"}))[1]
        assert [lead["id"] for lead in second["data"]] == [f"L{9 - index}" for index in range(10)]
        updated = (await get(client, path, params={"sort": "-updated_at", "perpage": "2"}))[1]
        assert [lead["id"] for lead in updated["data"]] == ["L0", "L59"]
        since = {"updated_gte": "2026-01-21T10:30:59+00:00"}
        assert {lead["id"] for lead in (await get(client, path, params=since))[1]["data"]} == {"L0", "L59"}
        made = {"created_gte": "2026-01-21T10:30:58Z"}
        assert {lead["id"] for lead in (await get(client, path, params=made))[1]["data"]} == {"L58", "L59"}


@pytest.mark.parametrize("query", [{"page": "x"}, {"updated_gte": "yesterday"}, {"sort": "name"}])
async def test_a_wrong_list_query_is_422(client, query):
    """What cannot be read is said, not ignored."""
    assert (await get(client, "/integration/leads", params=query))[0] == 422


async def test_one_endpoint_per_token(client):
    """Actions gather on one URL; another URL, by either path and spelling, replaces it silently."""
    first = {"hook_url": "http://one.example/h", "hook_action": "on_create_lead"}
    assert (await post(client, "/integration/leads/subscribe", first))[0] == 201
    await post(client, "/integration/leads/subscribe", first | {"hook_action": "on_close_lead"})
    expected = {"hook_url": "http://one.example/h", "actions": ["on_create_lead", "on_close_lead"]}
    assert (await state_of(client))["subscription"] == expected
    other = {"url": "http://two.example/h", "action": "on_update_lead", "secret": "s"}
    assert (await post(client, "/integration/api/subscribe", other))[0] == 201
    expected = {"hook_url": "http://two.example/h", "actions": ["on_update_lead"]}
    assert (await state_of(client))["subscription"] == expected


async def test_an_unknown_action_is_422(client):
    """Neither subscribe nor unsubscribe takes it."""
    body = {"hook_url": "http://one.example/h", "hook_action": "on_delete_lead"}
    assert (await post(client, "/integration/leads/subscribe", body))[0] == 422
    assert (await post(client, "/integration/api/unsubscribe", body))[0] == 422
    assert (await state_of(client))["subscription"] is None


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/integration/leads/subscribe"), ("POST", "/integration/api/unsubscribe")]
)
async def test_both_ways_to_unsubscribe(client, method, path):
    """A named action goes; no action named means all."""
    for action in ("on_create_lead", "on_update_lead", "on_close_lead"):
        body = {"hook_url": "http://one.example/h", "hook_action": action}
        await post(client, "/integration/leads/subscribe", body)
    async with client.request(
        method, path, json={"hook_action": "on_update_lead"}, headers=BEARER
    ) as response:
        assert response.status == 200
    assert (await state_of(client))["subscription"]["actions"] == ["on_create_lead", "on_close_lead"]
    async with client.request(method, path, headers=BEARER) as response:
        assert response.status == 200
    state = await state_of(client)
    assert (state["subscription"], state["calls"]["c2s.unsubscribe"]) == (None, 2)


async def test_calls_above_the_budget_are_429():
    """All C2S calls share one window; refused calls are throttled, not called, and cost no budget."""
    clock = Clock()
    async with sandbox(clock, c2s_rate_limit="2/minute") as client:
        assert (await get(client, "/integration/company"))[0] == 200
        clock.seconds = 20.0
        assert (await get(client, "/integration/leads/L1"))[0] == 200
        clock.seconds = 30.0
        async with client.post(MESSAGE, json={"body": "x"}, headers=BEARER) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "30")
        state = await state_of(client)
        assert (state["throttled"]["c2s"], state["calls"]["c2s.create_message"]) == (1, 0)
        assert state["messages"] == {}
        clock.seconds = 60.0
        assert (await post(client, MESSAGE, {"body": "x"}))[0] == 201
        assert (await get(client, "/api", params=WORK))[0] == 200  # the others have their own budgets


# --- Diretrix and Work API -----------------------------------------------------------------------


async def test_phone_email_and_cpf_lead_to_one_person(client):
    """A lead's customer is found by each contact, and the CPF leads to the profile."""
    person = people.invent("L1").phone_person
    candidate = {"nome": person.name, "cpf": person.cpf}
    by_phone = await get(client, f"/Consultas/Pessoa/Telefone/{person.phone}", headers=BASIC)
    by_email = await get(client, f"/Consultas/Pessoa/Email/{person.email}", headers=BASIC)
    assert by_phone[1][0] == candidate
    assert by_email == (200, [candidate])
    status, record = await get(client, f"/Consultas/Pessoa/{person.cpf}", headers=BASIC)
    assert (status, record["nome"]) == (200, person.name)
    assert record["telefones"][0]["telefone"] == person.phone
    assert record["emails"][0]["email"] == person.email
    profile = (await get(client, "/api", params=WORK | {"consulta": person.cpf}))[1]
    assert profile["DadosBasicos"]["nome"] == person.name.upper()
    assert profile["vacinas"]
    calls = (await state_of(client))["calls"]
    assert [calls[name] for name in ("diretrix.phone", "diretrix.email", "diretrix.cpf", "work.cpf")] == [
        1
    ] * 4


async def test_contacts_of_nobody_find_nothing(client):
    """`nomatch-` contacts get an empty list; an invalid CPF is 404 at both APIs."""
    invented = people.invent("nomatch-1")
    digits = re.sub(r"\D", "", invented.phone)[-11:]
    for path in (f"Telefone/{digits}", f"Email/{invented.email}", "Telefone/11999999999"):
        assert await get(client, f"/Consultas/Pessoa/{path}", headers=BASIC) == (200, [])
    assert (await get(client, "/Consultas/Pessoa/52998224724", headers=BASIC))[0] == 404
    assert (await get(client, "/api", params=WORK | {"consulta": "52998224724"}))[0] == 404
    assert (await get(client, "/api", params=WORK | {"modulo": "placa"}))[0] == 400


async def test_contacts_typed_into_a_lead_lead_to_its_person(client):
    """A made lead's own phone and e-mail find one person by the name given, also after an update."""
    customer = {"name": "Maria Exemplo", "phone": "(11) 98765-4321", "email": "Maria@Example.com"}
    await post(client, "/_sandbox/leads", {"leads": [{"id": "L9", "attributes": {"customer": customer}}]})
    changed = {"attributes": {"customer": {"phone": "+55 21 97777-1234"}}}
    answer = (await post(client, "/_sandbox/leads/L9", changed))[1]
    assert answer["attributes"]["customer"]["phone_global"] == "+5521977771234"
    cpf = people.invent("L9").phone_person.cpf
    for path in ("Telefone/11987654321", "Telefone/21977771234", "Email/maria@example.com"):
        found = (await get(client, f"/Consultas/Pessoa/{path}", headers=BASIC))[1]
        assert found[0] == {"nome": "Maria Exemplo", "cpf": cpf}
    profile = (await get(client, "/api", params=WORK | {"consulta": cpf}))[1]
    assert profile["DadosBasicos"]["nome"] == "MARIA EXEMPLO"


async def test_contacts_typed_into_special_leads_stay_special(client):
    """Typed contacts of `twins-` lead to two people, those of `nomatch-` to nobody."""
    for kind, found_by in (("twins", 2), ("nomatch", 0)):
        customer = {"phone": "(31) 98888-4321", "email": f"{kind}@example.org"}
        await post(client, "/_sandbox/reset", {})
        await post(
            client, "/_sandbox/leads", {"leads": [{"id": f"{kind}-1", "attributes": {"customer": customer}}]}
        )
        phone = (await get(client, "/Consultas/Pessoa/Telefone/31988884321", headers=BASIC))[1]
        email = (await get(client, f"/Consultas/Pessoa/Email/{kind}@example.org", headers=BASIC))[1]
        assert len({person["cpf"] for person in phone[:1] + email[:1]}) == found_by


async def test_wrong_credentials_are_401(client):
    """Diretrix wants Basic, the Work API its token in the query."""
    for headers in ({}, {"Authorization": aiohttp.encode_basic_auth("user", "wrong")}, BEARER):
        assert (await get(client, "/Consultas/Pessoa/Telefone/11987654321", headers=headers))[0] == 401
    assert (await get(client, "/api", params=WORK | {"token": "wrong"}))[0] == 401


# --- Faults --------------------------------------------------------------------------------------


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
