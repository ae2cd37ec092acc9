"""The outside clients against a real socket: may the message have been sent?

aiohttp says no only by ``ClientConnectorError`` and ``ConnectionTimeoutError``; all else is ambiguous for
``create_message``.
"""

import asyncio

import aiohttp
import orjson
import pytest
from aiohttp.abc import AbstractResolver
from structlog.testing import capture_logs
from support_outside import (
    CALLS,
    CREATED,
    HTML,
    LEAD,
    MAX_BYTES,
    SHORT_S,
    TIMEOUT_S,
    TOKEN,
    Told,
    clients_at,
    create_message,
    failure_from,
    failure_of,
    get_lead,
)
from support_rawhttp import (
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

from processor.outside import C2SClient, Transport
from schema.errors import (
    Ambiguous,
    Retryable,
)

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
