"""Rows 4-19 and 41 on a real process: what it writes, counts and answers names no token and no person."""

import json
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from support_ingress import SECRET, TOKEN, WEBHOOKS, lead, signed
from support_process import DoorProcess, door_process, lines_of

GUESS = "guessed-token-5f1d"
NAME = "Jo\u00e3o Nobody"
FORGED = 'eve\r\n{"event": "forged.line", "level": "error"}\r\n\x1b[2J\x1b[31mred'
LIMITS = {"MAX_BODY_BYTES": "2048", "READ_TIMEOUT_SECS": "0.3", "KEEPALIVE_SECS": "0.5", "LOG_LEVEL": "debug"}


def person(lead_id: str, name: str = NAME) -> bytes:
    customer = {"name": name, "phone": "5511987650001", "email": "nobody@example.invalid"}
    return lead(lead_id, attributes={"customer": customer})


async def every_answer(door: DoorProcess, token: str) -> str:
    """All that the door answers to whoever uses a token in every way that goes wrong, or right."""
    path = f"{WEBHOOKS}/{token}"
    url = door.url + path
    said = []
    async with aiohttp.ClientSession() as client:

        async def ask(method: str, where: str = url, data: bytes = b"", **headers: str) -> None:
            async with client.request(method, where, data=data, headers=headers) as answer:
                said.append(f"{answer.status} {answer.headers!r} {await answer.text()}")

        await ask("POST", data=person("ok"))
        await ask("POST", data=person("ok"))
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
            await ask(method)
        await ask("POST", f"{url}/more")
        await ask("POST", f"{url}?action={token}", data=person("again"))
        await ask("POST", f"{door.url}/elsewhere/{token}")
        await ask("POST", data=b"x" * 4096)
        await ask("POST", data=b"{}", **{"Content-Encoding": "gzip"})
        for bad in (
            b"{",
            b"[]",
            b'{"id": "' + token.encode() + b' "}',
            b'{"id":1,"action":"' + token.encode() + b'"}',
        ):
            await ask("POST", data=bad)
        await ask("GET", f"{door.url}/api/v1/leads/process?id=1&key={token}")
        await ask("GET", f"{door.url}/health?{token}")
    heads = (
        f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n{{",
        f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"POST {path} HTTP/1.1\r\nHost: d\r\nExpect: {token}\r\nContent-Length: 4\r\n\r\n",
        f"POST {path} {token}\r\n\r\n",
        f"{token} {path} HTTP/1.1\r\nHost: d\r\n\r\n",
        f"POST {path} HTTP/9.9\r\nHost: d\r\n\r\n",
        f"GET http://{token}@[{token}/{token} HTTP/1.1\r\nHost: {token}\r\n\r\n",
        f"POST {path} HTTP/1.1\r\nHost: d\r\nX-{token} : {token}\r\n\r\n",
        f"POST {path} HTTP/1.1\r\nHost: d\r\nUpgrade: {token}\r\nConnection: upgrade, close\r\n\r\n",
    )
    said += [(await door.raw(head.encode())).decode(errors="replace") for head in heads]
    return "\n".join(said)


async def metrics(door: DoorProcess) -> str:
    async with aiohttp.ClientSession() as client, client.get(door.url + "/metrics") as answer:
        return await answer.text()


@pytest.mark.parametrize("token", [TOKEN, GUESS, quote("t\u00f6ken/\x1b[0m")], ids=["right", "wrong", "odd"])
async def test_a_token_in_a_url_appears_nowhere(token: str, redis_url: str, tmp_path: Path) -> None:
    """Row 9: right or wrong, it is in no log line at any level, metric, answer or error page."""
    async with door_process(tmp_path / "log", redis_url, **LIMITS) as door:
        answers = await every_answer(door, token)
        written = door.output() + await metrics(door)
    assert answers.count("\n") > 20
    for text in (answers, written):
        assert token not in text
        assert token.upper() not in text.upper()
    assert SECRET not in written + answers
    names = {line["event"] for line in lines_of(written.split("# HELP", maxsplit=1)[0])}
    assert "request.failed" not in names
    if token == TOKEN:
        assert {"webhook.accepted", "webhook.duplicate", "webhook.refused"} <= names
    else:
        assert "auth.rejected" in names
        assert "webhook.accepted" not in names


async def test_with_everything_away_neither(tmp_path: Path) -> None:
    """Row 9 with 503s: faults of Redis and Postgres name no token either."""
    nowhere = "redis://user:redis-password@127.0.0.1:1/0"
    async with door_process(tmp_path / "log", nowhere, **LIMITS) as door:
        answers = await every_answer(door, TOKEN)
        written = door.output() + await metrics(door)
    assert "503" in answers
    assert '"webhook.unavailable"' in written
    assert TOKEN not in answers + written
    assert "redis-password" not in answers + written


async def test_no_line_can_be_forged(redis_url: str, tmp_path: Path) -> None:
    """Row 41: line breaks and ANSI codes in names, ids, actions, headers write no line, move no cursor."""
    forged_headers = {"traceparent": "00-forged.line", "User-Agent": "forged.line"}
    async with door_process(tmp_path / "log", redis_url, **LIMITS) as door:
        async with aiohttp.ClientSession() as client:
            for raw in (
                person("L1", FORGED),
                json.dumps({"lead_id": FORGED, "action": "on_create_lead"}).encode(),
                json.dumps({"lead_id": "L2", "action": FORGED}).encode(),
                json.dumps({"lead_id": "L3", "action": "forged.line"}).encode(),
                json.dumps([{"lead_id": "L4"}, {"lead_id": FORGED}, FORGED]).encode(),
            ):
                await client.post(door.url + WEBHOOKS, data=raw, headers=signed(raw) | forged_headers)
        written = door.output()
    lines = lines_of(written)
    assert "forged.line" not in written
    assert "\x1b" not in written
    assert {"webhook.accepted", "webhook.ignored", "webhook.refused"} <= {line["event"] for line in lines}


async def test_no_person_is_logged(redis_url: str, tmp_path: Path) -> None:
    """No name, phone or e-mail in any line, metric or answer, whether taken, repeated, refused or ignored."""
    bodies = [person("P1"), person("P1"), person("P 2"), person("P3").replace(b"on_create_lead", b"on_dance")]
    bodies.append(person("P4")[:-1])
    answers = []
    async with door_process(tmp_path / "log", redis_url, **LIMITS) as door:
        async with aiohttp.ClientSession() as client:
            for raw in bodies:
                async with client.post(door.url + WEBHOOKS, data=raw, headers=signed(raw)) as answer:
                    answers.append(await answer.text())
        written = door.output() + await metrics(door) + "".join(answers)
    assert [json.loads(a)["status"] for a in answers] == ["accepted", "duplicate", 422, "ignored", 400]
    for trace in ("Nobody", "98765", "example.invalid"):
        assert trace not in written
