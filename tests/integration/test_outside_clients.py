"""How the outside clients call: headers, connections, budget, time, and against the sandbox."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from support_outside import (
    CPF,
    LEAD,
    MAX_BYTES,
    PHONE,
    SHORT_S,
    TOKEN,
    Told,
    clients_at,
    create_message,
    failure_from,
    get_lead,
)
from support_rawhttp import (
    reply,
    serving,
    silence,
)

from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig
from ops.sandbox.people import invent
from ops.settings import load_settings
from processor.contacts import first_usable_phone, usable_email
from processor.outside import C2SClient, Clients, Transport, open_clients
from processor.outside.answers import Malformed
from processor.people import Found
from schema.errors import (
    Permanent,
    Retryable,
    SettingsError,
    Throttled,
)


async def test_redirects_and_cookies_are_not_followed():
    """A token never travels to another host, and no cookie ties calls together."""
    async with serving(reply(200, LEAD)) as other:
        headers = f"Location: {other.url}/elsewhere\r\nSet-Cookie: a=b; Path=/\r\n"
        async with serving(reply(307, b"", headers)) as server, clients_at(server.url) as clients:
            for _ in range(2):
                with pytest.raises(Retryable) as caught:
                    await get_lead(clients)
                assert caught.value.code == "c2s_http_307"
    assert other.connections == 0
    assert len(server.requests) == 2
    assert not any("cookie" in seen.head.lower() for seen in server.requests)


async def test_connections_are_reused():
    """Ten calls in a row are one connection."""
    async with serving(reply(200, LEAD)) as server, clients_at(server.url) as clients:
        for _ in range(10):
            await get_lead(clients)
    assert (server.connections, len(server.requests)) == (1, 10)


async def test_what_is_asked_is_percent_encoded_and_carries_the_credentials():
    """No contact and no id can reach another path."""
    async with serving(reply(200, b"[]")) as server, clients_at(f"{server.url}/v1/") as clients:
        await clients.diretrix.by_email("a/b?c#d@example.com")
        await clients.diretrix.by_phone(PHONE)
        await clients.work.profile(CPF)
        with pytest.raises(Malformed):
            await clients.c2s.get_lead("../company")
    email, phone, cpf, lead = server.requests
    assert email.target == "/v1/Consultas/Pessoa/Email/a%2Fb%3Fc%23d@example.com"
    assert phone.target == f"/v1/Consultas/Pessoa/Telefone/{PHONE}"
    assert "Authorization: Basic dTpzM2NyZXQtdG9rZW4=\r\n" in phone.head
    assert cpf.target == f"/v1/api?token={TOKEN}&modulo=cpf&consulta={CPF}"
    assert lead.target == "/v1/integration/leads/..%2Fcompany"


async def test_a_call_that_the_budget_refuses_is_not_made():
    """The hook's own error comes through, and nothing is measured."""
    told = Told()

    async def full(_api: str, _call: str) -> None:
        raise Throttled("not now", code="budget", retry_after_s=3)

    told.before_call = full
    async with serving(reply(200, LEAD)) as server, clients_at(server.url, told) as clients:
        with pytest.raises(Throttled) as caught:
            await get_lead(clients)
    assert (caught.value.code, server.connections, told.after) == ("budget", 0, [])


async def test_a_cancelled_call_ends_as_cancelled():
    """Losing the lease cancels the call; the hook hears of it."""
    told = Told()
    arrived = asyncio.Event()

    async def hold(_seen: object, _writer: object) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with serving(hold) as server, clients_at(server.url, told) as clients:
        call = asyncio.create_task(create_message(clients))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert told.after == [("c2s", "create_message", "cancelled")]


async def test_a_base_url_that_is_none_is_refused_at_once():
    """The text names the API and does not repeat the URL, which may hold a password."""
    async with aiohttp.ClientSession() as http:
        transport = Transport(session=http, max_bytes=MAX_BYTES)
        for url in ("", "api.example.com", "ftp://u:s3cret@example.com", "http://"):
            with pytest.raises(SettingsError, match="c2s") as caught:
                C2SClient(transport, base_url=url, token=TOKEN, timeout_s=1)
            assert "s3cret" not in str(caught.value)


async def test_a_timeout_ends_the_call_in_time():
    """A silent server costs the timeout, not more (the bound is generous: machines are slow)."""
    started = time.monotonic()
    error, _server = await failure_from(silence, ("work", "cpf"), SHORT_S)
    assert error.code == "work_timeout"
    assert SHORT_S * 0.9 <= time.monotonic() - started < 10


# The sandbox


@asynccontextmanager
async def sandbox() -> AsyncIterator[tuple[Clients, aiohttp.ClientSession, TestServer]]:
    config = SandboxConfig(c2s_token=TOKEN, diretrix_user="u", diretrix_pass="p", work_api_key="k")
    async with TestServer(create_app(config)) as server, aiohttp.ClientSession() as http:
        url = str(server.make_url("")).rstrip("/")
        bases = {f"{name}_BASE_URL": url for name in ("C2S", "DIRETRIX", "WORK_API")}
        keys = {"C2S_TOKEN": TOKEN, "DIRETRIX_USER": "u", "DIRETRIX_PASS": "p", "WORK_API_KEY": "k"}
        settings = load_settings("processor", {**bases, **keys})
        async with open_clients(settings) as clients:
            yield clients, http, server


async def test_from_a_lead_to_its_message_at_the_sandbox():
    """The lead's contacts lead to its invented person, and the message is then on the lead."""
    person = invent("lead-7").phone_person
    assert person is not None
    async with sandbox() as (clients, _http, _server):
        lead = await clients.c2s.get_lead("lead-7")
        assert lead.customer is not None
        assert "ref: 123456789abc" not in lead.messages
        phone, email = first_usable_phone(lead.customer.phones), usable_email(lead.customer.email)
        assert (phone, email) == (person.phone, person.email)
        assert (await clients.diretrix.by_phone(phone))[0] == Found(person.name, person.cpf)
        assert await clients.diretrix.by_email(email) == [Found(person.name, person.cpf)]
        found = await clients.work.profile(person.cpf)
        assert found is not None
        assert (found.name, found.birth_date) == (person.name.upper(), f"{person.born:%d/%m/%Y}")
        await clients.c2s.create_message("lead-7", "ref: 123456789abc")
        assert "ref: 123456789abc" in (await clients.c2s.get_lead("lead-7")).messages


async def test_leads_are_listed_page_by_page():
    """The last updated first, until a page is empty."""
    async with sandbox() as (clients, http, server):
        body = {"leads": [{"id": f"L{n}"} for n in range(3)]}
        async with http.post(server.make_url("/_sandbox/leads"), json=body) as answer:
            assert answer.status < 300, await answer.text()
        pages = [
            await clients.c2s.list_leads(updated_gte="2020-01-01T00:00:00Z", page=page, perpage=2)
            for page in (1, 2, 3)
        ]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert {lead["id"] for page in pages for lead in page} == {"L0", "L1", "L2"}


async def test_subscribing_checking_the_token_and_unsubscribing():
    """Both documented ways to unsubscribe work; an unknown action is refused for good."""
    async with sandbox() as (clients, _http, _server):
        assert "data" in await clients.c2s.company()
        await clients.c2s.subscribe("https://example.com/hook", "on_create_lead", "secret")
        await clients.c2s.subscribe("https://example.com/hook", "on_close_lead", "secret")
        with pytest.raises(Permanent) as caught:
            await clients.c2s.subscribe("https://example.com/hook", "on_sneeze_lead", "secret")
        assert caught.value.code == "c2s_http_422"
        await clients.c2s.unsubscribe("on_create_lead")
        await clients.c2s.unsubscribe("on_close_lead", path="/integration/leads/subscribe", method="DELETE")


async def test_unknown_leads_people_and_profiles_at_the_sandbox():
    """A missing lead is final; nobody found is no fault."""
    async with sandbox() as (clients, _http, _server):
        with pytest.raises(Permanent) as caught:
            await clients.c2s.get_lead("missing-1")
        assert caught.value.code == "lead_gone"
        assert await clients.diretrix.by_phone("11950000123") == []
        assert await clients.work.profile("11111111111") is None
