"""The outside clients against a real socket: each fault, and what it must mean.

The one question that matters: may the message have been sent? aiohttp says no only by
``ClientConnectorError`` and ``ConnectionTimeoutError``; all else is ambiguous for ``create_message``.
"""

import asyncio
import gzip
import time
import traceback
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
import pytest
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs
from support_rawhttp import (
    Behaviour,
    Raw,
    close,
    close_when_used_again,
    endless,
    free_port,
    raw_bytes,
    reply,
    reset,
    serving,
    silence,
    then,
)

from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig
from ops.sandbox.people import invent
from ops.settings import load_settings
from processor.contacts import first_usable_phone, usable_email
from processor.outside import C2SClient, Clients, DiretrixClient, Transport, WorkClient, open_clients
from processor.outside.answers import Malformed, retry_after_s
from processor.people import Found
from schema.errors import (
    Ambiguous,
    Permanent,
    PipelineError,
    Retryable,
    SettingsError,
    Throttled,
    Unauthorized,
)
from schema.times import parse

CPF = "52998224725"
PHONE = "11987654321"
EMAIL = "ana.duarte@example.com"
TOKEN = "s3cret-token"
PRIVATE = (CPF, PHONE, EMAIL, "ana.duarte", TOKEN, "consulta=")
MAX_BYTES = 20_000
TIMEOUT_S = 30.0
SHORT_S = 0.4  # where the timeout is what is tested

LEAD = orjson.dumps({"data": {"id": "L1", "attributes": {"messages": [{"body": "ref: 1"}]}}})
CREATED = orjson.dumps({"data": {"type": "message", "id": "1"}})
HTML = reply(200, b"<html>not found</html>", "Content-Type: text/html\r\n")


@dataclass
class Told:
    """What the hooks were told."""

    before: list[tuple[str, str]] = field(default_factory=list)
    after: list[tuple[str, str, str]] = field(default_factory=list)

    async def before_call(self, api: str, call: str) -> None:
        self.before.append((api, call))

    def after_call(self, api: str, call: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 30
        self.after.append((api, call, outcome))


@asynccontextmanager
async def clients_at(
    url: str, told: Told | None = None, resolver: object = None, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[Clients]:
    """Clients that all talk to one address."""
    told = told or Told()
    connector = aiohttp.TCPConnector(resolver=resolver)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
        transport = Transport(
            session=session, max_bytes=MAX_BYTES, before_call=told.before_call, after_call=told.after_call
        )
        yield Clients(
            C2SClient(transport, base_url=url, token=TOKEN, timeout_s=timeout_s),
            DiretrixClient(transport, base_url=url, user="u", password=TOKEN, timeout_s=timeout_s),
            WorkClient(transport, base_url=url, token=TOKEN, timeout_s=timeout_s),
        )


def get_lead(clients: Clients):
    return clients.c2s.get_lead("L1")


def create_message(clients: Clients):
    return clients.c2s.create_message("L1", f"CPF {CPF}\nref: 1")


def by_phone(clients: Clients):
    return clients.diretrix.by_phone(PHONE)


def by_email(clients: Clients):
    return clients.diretrix.by_email(EMAIL)


def profile(clients: Clients):
    return clients.work.profile(CPF)


CALLS = {
    ("c2s", "get_lead"): get_lead,
    ("c2s", "create_message"): create_message,
    ("diretrix", "phone"): by_phone,
    ("diretrix", "email"): by_email,
    ("work", "cpf"): profile,
}


async def failure_of(
    url: str, name: tuple[str, str], resolver: object = None, timeout_s: float = TIMEOUT_S
) -> PipelineError:
    """The error that a call ends in; checks what is true of every error of ours."""
    told = Told()
    async with clients_at(url, told, resolver, timeout_s) as clients:
        with pytest.raises(PipelineError) as caught:
            await CALLS[name](clients)
    error = caught.value
    assert error.api == name[0]
    assert told.before == [name]
    assert told.after == [(*name, error.code)]
    assert error.__cause__ is None
    assert error.__context__ is None
    told_to_people = "".join([*traceback.format_exception(error), repr(error), str(vars(error))])
    assert not [secret for secret in PRIVATE if secret in told_to_people]
    return error


async def failure_from(
    behave: Behaviour, name: tuple[str, str], timeout_s: float = TIMEOUT_S
) -> tuple[PipelineError, Raw]:
    async with serving(behave) as server:
        return await failure_of(server.url, name, timeout_s=timeout_s), server


# Nothing was sent


@pytest.mark.parametrize("name", CALLS)
async def test_a_refused_connection_is_safe_to_repeat(name):
    """Nobody listens: nothing was sent, not even of a message."""
    error = await failure_of(f"http://127.0.0.1:{free_port()}", name)
    assert type(error) is Retryable
    assert error.code == f"{name[0]}_refused"


class NoSuchHost(AbstractResolver):
    async def resolve(self, host, port=0, family=0):
        raise OSError(None, "no such host")

    async def close(self):
        pass


class NeverResolves(NoSuchHost):
    async def resolve(self, host, port=0, family=0):
        await asyncio.Event().wait()


@pytest.mark.parametrize("name", CALLS)
async def test_an_unknown_host_is_safe_to_repeat(name):
    """A DNS failure sends nothing."""
    error = await failure_of("http://api.example.com", name, NoSuchHost())
    assert type(error) is Retryable
    assert error.code == f"{name[0]}_dns"


@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_that_never_comes_about_is_safe_to_repeat(name):
    """The connect timeout ends first, so it is never mistaken for a lost answer."""
    error = await failure_of("http://api.example.com", name, NeverResolves(), SHORT_S)
    assert type(error) is Retryable
    assert error.code == f"{name[0]}_connect_timeout"


async def test_a_failed_tls_handshake_is_safe_to_repeat():
    """No TLS, no request: the message stays here."""
    received = bytearray()

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(5))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_of(f"https://127.0.0.1:{port}", ("c2s", "create_message"))
    assert type(error) is Retryable
    assert error.code == "c2s_refused"
    assert received[0] == 0x16  # a TLS handshake record, no request


# The request may have been carried out

BROKEN = {
    "closed before the answer": (close, "reset"),
    "reset before the answer": (reset, "reset"),
    "reset in mid-answer": (then(reply(200, b'{"data"', length=500), reset), "reset"),
    "closed in mid-answer": (raw_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), "reset"),
    "never answered": (silence, "timeout"),
    "stuck in mid-answer": (then(reply(200, b'{"data"', length=500), silence), "timeout"),
    "not HTTP": (raw_bytes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "bad_answer"),
    "half a head": (raw_bytes(b"HTTP/1.1 200 OK\r\nConte"), "reset"),
    "broken compression": (reply(200, b"no gzip at all", "Content-Encoding: gzip\r\n"), "reset"),
    "500": (reply(500, b"<html>oops</html>"), "http_500"),
    "503": (reply(503, b"", "Retry-After: 7\r\n"), "http_503"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", CALLS)
async def test_an_answer_that_is_lost_is_ambiguous_for_the_message_and_retryable_for_reads(name, fault):
    """The server has read the request: only a read may simply be repeated."""
    behave, kind = BROKEN[fault]
    error, server = await failure_from(behave, name, SHORT_S if kind == "timeout" else TIMEOUT_S)
    assert type(error) is (Ambiguous if name == ("c2s", "create_message") else Retryable)
    assert error.code == f"{name[0]}_{kind}"
    if name == ("c2s", "create_message"):
        assert [seen.method for seen in server.requests] == ["POST"]
    if fault == "503":
        assert error.retry_after_s == 7


async def test_a_post_on_a_dead_kept_alive_connection_is_ambiguous_and_never_sent_twice():
    """The server closes a kept-alive connection under the request: aiohttp sees ServerDisconnectedError,
    the same as if the request had been carried out, and does not repeat a POST by itself.
    """
    told = Told()
    async with (
        serving(close_when_used_again(reply(200, LEAD))) as server,
        clients_at(server.url, told) as clients,
    ):
        await get_lead(clients)
        with pytest.raises(Ambiguous) as caught:
            await create_message(clients)
    assert type(caught.value) is Ambiguous
    assert told.after[-1] == ("c2s", "create_message", "c2s_reset")
    assert server.connections == 1  # the connection was reused
    assert [seen.method for seen in server.requests] == ["GET", "POST"]


async def test_a_get_on_a_dead_kept_alive_connection_is_repeated_by_aiohttp_alone():
    """A read does no harm twice: aiohttp asks again on a fresh connection."""
    async with (
        serving(close_when_used_again(reply(200, LEAD))) as server,
        clients_at(server.url) as clients,
    ):
        await get_lead(clients)
        assert (await get_lead(clients)).messages == ("ref: 1",)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (HTML, "c2s_malformed"),
        (reply(200, b"[" * 10_000), "c2s_malformed"),
        (endless, "c2s_too_large"),
        (reply(302, b"", "Location: http://127.0.0.1:1/\r\n"), "c2s_http_302"),
    ],
)
async def test_an_answer_that_says_nothing_about_the_message_is_ambiguous(behave, code):
    """A page of some proxy with status 200 is no proof that C2S has the message."""
    error, _server = await failure_from(behave, ("c2s", "create_message"))
    assert type(error) is Ambiguous
    assert error.code == code


async def test_a_fault_of_the_library_after_the_post_is_ambiguous():
    """An unexpected exception must not look like a message that was not sent."""

    async def on_end(*_args: object) -> None:
        raise RuntimeError("unexpected")

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_end)
    async with serving(reply(201, CREATED)) as server, aiohttp.ClientSession(trace_configs=[trace]) as http:
        transport = Transport(session=http, max_bytes=MAX_BYTES)
        c2s = C2SClient(transport, base_url=server.url, token=TOKEN, timeout_s=TIMEOUT_S)
        with capture_logs() as logs, pytest.raises(Ambiguous) as caught:
            await c2s.create_message("L1", "ref: 1")
        with pytest.raises(RuntimeError):
            await c2s.get_lead("L1")
    assert caught.value.code == "c2s_fault"
    assert [entry["event"] for entry in logs] == ["send.fault"]


async def test_a_hook_that_fails_does_not_undo_a_sent_message():
    """The message is there: a broken metric is logged and the call has succeeded."""

    def broken(*_args: object) -> None:
        raise ValueError("metrics are broken")

    async with serving(reply(201, CREATED)) as server, aiohttp.ClientSession() as http:
        transport = Transport(session=http, max_bytes=MAX_BYTES, after_call=broken)
        c2s = C2SClient(transport, base_url=server.url, token=TOKEN, timeout_s=TIMEOUT_S)
        with capture_logs() as logs:
            await c2s.create_message("L1", "ref: 1")
    assert [entry["event"] for entry in logs] == ["after_call.failed"]


# Statuses


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_message_is_sent_when_c2s_says_so(status):
    """Any 2xx; the request carries the token, our name, and the text as JSON."""
    body = b"" if status == 204 else CREATED
    async with serving(reply(status, body)) as server, clients_at(server.url) as clients:
        await clients.c2s.create_message("L1", "Olá\nref: 1")
    [seen] = server.requests
    assert seen.target == "/integration/leads/L1/create_message"
    assert f"Authorization: Bearer {TOKEN}\r\n" in seen.head
    assert orjson.loads(seen.body) == {"body": "Olá\nref: 1"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refused_account_waits_for_the_operator(name, status):
    """Nothing is wrong with the lead: no attempt is spent, nothing is dead-lettered."""
    error, _server = await failure_from(reply(status), name)
    assert type(error) is Unauthorized
    assert error.code == f"{name[0]}_unauthorized"


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ("Retry-After: 12\r\n", 12),
        ("Date: Wed, 21 Jan 2026 10:00:00 GMT\r\nRetry-After: Wed, 21 Jan 2026 10:01:30 GMT\r\n", 90),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ],
)
async def test_too_many_requests_waits_as_long_as_asked(name, headers, wait_s):
    """429 is `Throttled` for every call, the message too: it was not taken."""
    error, _server = await failure_from(reply(429, b"", headers), name)
    assert type(error) is Throttled
    assert error.code == f"{name[0]}_throttled"
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        *(("0", 0), ("1.5", 1.5), ("999999", 3600), ("Wed, 21 Jan 2026 10:00:10 GMT", 10)),
        *(("Wed, 21 Jan 2026 09:00:00 GMT", 0), ("Wed, 21 Jan 2099 09:00:00 GMT", 3600)),
        *(("-1", None), ("1e9", None), ("inf", None), ("٣", None), ("", None), ("Wed, 99 Jan", None)),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(text, wait_s):
    """Without a Date header the handed-in time counts; nonsense is no wait."""
    assert retry_after_s({"Retry-After": text}, parse("2026-01-21T10:00:00Z")) == wait_s


@pytest.mark.parametrize("name", [("c2s", "get_lead"), ("c2s", "create_message")])
@pytest.mark.parametrize(
    ("status", "code"), [(404, "lead_gone"), (410, "lead_gone"), (400, "c2s_http_400"), (422, "c2s_http_422")]
)
async def test_c2s_refusals_are_final(name, status, code):
    """A lead that is gone, or a call that makes no sense, never works."""
    error, _server = await failure_from(reply(status), name)
    assert type(error) is Permanent
    assert error.code == code


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", [408, 425])
async def test_a_request_that_the_server_says_it_did_not_take_is_retried(name, status):
    """408 and 425 are about the delivery, not about the lead."""
    error, _server = await failure_from(reply(status), name)
    assert type(error) is Retryable


@pytest.mark.parametrize("status", [204, 400, 404, 410, 422])
async def test_enrichment_that_knows_nothing_is_no_data(status):
    """An unknown or refused contact or CPF is an answer, not a fault."""
    told = Told()
    body = b"" if status == 204 else b'{"erro": "nada"}'
    async with serving(reply(status, body)) as server, clients_at(server.url, told) as clients:
        assert await by_phone(clients) == []
        assert await by_email(clients) == []
        assert await profile(clients) is None
    assert [outcome for _api, _call, outcome in told.after] == ["ok", "ok", "ok"]


@pytest.mark.parametrize("name", [("diretrix", "phone"), ("diretrix", "email"), ("work", "cpf")])
async def test_any_other_refusal_of_an_enrichment_api_is_retried(name):
    """Nothing is wrong with the lead, so it is not given up."""
    error, _server = await failure_from(reply(405), name)
    assert type(error) is Retryable
    assert error.code == f"{name[0]}_http_405"


# Answers that make no sense


@pytest.mark.parametrize(
    ("behave", "code"),
    [
        (HTML, "c2s_malformed"),
        *((reply(200, body), "c2s_malformed") for body in (b"", b"null", b"[]", b"{}", b'{"data": {}}')),
        (reply(200, b'{"data": {"id": "L1"}}'), "c2s_malformed"),
        (endless, "c2s_too_large"),
        (reply(200, b"{", length=10**10), "c2s_too_large"),
    ],
)
async def test_an_answer_that_is_no_lead_is_not_taken_for_an_empty_one(behave, code):
    """Else a lead's marker would look absent, and the message would be sent again."""
    told = Told()
    async with serving(behave) as server, clients_at(server.url, told) as clients:
        with pytest.raises(Malformed) as caught:
            await get_lead(clients)
    assert caught.value.code == code


NONSENSE = {
    "HTML": HTML,
    "cut JSON": reply(200, b'[{"nome": "Ana", "cpf": "5299'),
    "deep": reply(200, b"[" * 10_000),
    "a number": reply(200, b"7"),
    "a text": reply(200, b'"erro"'),
    "an object": reply(200, b'{"erro": "interno"}'),
    "nulls": reply(200, b'{"DadosBasicos": null, "emails": [null]}'),
    "endless": endless,
    "announced 10 GB": reply(200, b"{", length=10**10),
    "gzip bomb": reply(200, gzip.compress(b"[" * 4_000_000, 9), "Content-Encoding: gzip\r\n"),
    "deflate bomb": reply(200, zlib.compress(b" " * 4_000_000, 9), "Content-Encoding: deflate\r\n"),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_enrichment_that_makes_no_sense_is_no_data(kind):
    """It is logged as `enrichment.malformed`, without a word about the person."""
    async with serving(NONSENSE[kind]) as server, clients_at(server.url) as clients:
        with capture_logs() as logs:
            assert await by_phone(clients) == []
            assert await by_email(clients) == []
            assert await profile(clients) is None
    assert [(entry["event"], entry["api"], entry["call"]) for entry in logs] == [
        ("enrichment.malformed", "diretrix", "phone"),
        ("enrichment.malformed", "diretrix", "email"),
        ("enrichment.malformed", "work", "cpf"),
    ]
    assert not [secret for secret in (*PRIVATE, "Ana") if secret in str(logs)]


async def test_an_oversized_answer_is_hung_up_on():
    """The client does not read on: an endless answer ends at its side within the call."""
    async with serving(endless) as server, clients_at(server.url) as clients:
        assert await profile(clients) is None
        async with asyncio.timeout(10):
            await server.gone.wait()


async def test_an_answer_of_exactly_the_limit_is_read():
    """The limit is the largest answer, not the smallest refused."""
    body = b'{"DadosBasicos": {"nome": "ANA"}}'.ljust(MAX_BYTES)
    async with serving(reply(200, body)) as server, clients_at(server.url) as clients:
        found = await profile(clients)
    assert found is not None
    assert found.name == "ANA"


async def test_people_without_a_valid_cpf_and_repeats_are_dropped():
    """Order is kept; names are one clean line; numbers with lost zeros are restored."""
    answer = [
        {"nome": "Sem CPF"},
        {"nome": "Bruno", "cpf": "111.111.111-11"},
        {"nome": "Ana\r\n\x1b[31mDuarte", "cpf": "529.982.247-25"},
        "x",
        {"nome": None, "cpf": 191},
        {"nome": "Ana de novo", "cpf": 52998224725},
    ]
    async with serving(reply(200, orjson.dumps(answer))) as server, clients_at(server.url) as clients:
        assert await by_phone(clients) == [Found("Ana Duarte", CPF), Found("", "00000000191")]


# What goes out


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
