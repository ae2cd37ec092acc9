"""The sandbox on a real socket: every call of the outside APIs, and the budget."""

import re

import aiohttp
import pytest
from support_sandbox import BASIC, BEARER, MESSAGE, WORK, Clock, get, post, sandbox, state_of

from ops.sandbox import people

# --- C2S -----------------------------------------------------------------------------------------


@pytest.fixture
async def client():
    async with sandbox() as running:
        yield running


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
    """Newest first, at most 50 a page."""
    clock = Clock()
    async with sandbox(clock) as client:
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


async def test_a_lead_met_by_its_id_is_listed_and_older_than_its_webhook(client):
    """Whoever sends a webhook about a lead that nobody made (`c2s send`) finds it in the list afterwards."""
    await get(client, "/integration/leads/asked-for")
    await post(client, "/integration/leads/messaged/messages", {"body": "x"})
    listed = (await get(client, "/integration/leads", params={"updated_gte": "2026-01-21T09:30:00Z"}))[1]
    assert {lead["id"] for lead in listed["data"]} == {"asked-for", "messaged"}
    recent = (await get(client, "/integration/leads", params={"updated_gte": "2026-01-21T09:30:01Z"}))[1]
    assert recent["data"] == []


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
