"""The outside clients on a real socket, each of their calls by name, and what its failure looked like."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
import pytest
from support_rawhttp import (
    Behaviour,
    Raw,
    reply,
    serving,
)

from processor.outside import C2SClient, Clients, DiretrixClient, Transport, WorkClient
from schema.errors import (
    PipelineError,
)

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
