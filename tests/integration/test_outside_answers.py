"""What an outside API answers, refusals, nonsense and floods included, and what it must mean."""

import asyncio
import gzip
import zlib

import orjson
import pytest
from structlog.testing import capture_logs
from support_outside import (
    CALLS,
    CPF,
    HTML,
    MAX_BYTES,
    PRIVATE,
    Told,
    by_email,
    by_phone,
    clients_at,
    failure_from,
    get_lead,
    profile,
)
from support_rawhttp import (
    endless,
    reply,
    serving,
)

from processor.outside.answers import Malformed, retry_after_s
from processor.people import Found
from schema.errors import (
    Permanent,
    Retryable,
    Throttled,
    Unauthorized,
)
from schema.times import parse


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
