"""Marked persons, whatever a stranger may send about them, and the search for them."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from support_ingress import PREVIOUS, WEBHOOKS, signed
from support_process import DoorProcess

from chaos.system import System
from ops.sandbox import people
from ops.sandbox.webhooks import SHAPES, webhook_body

NAME, PHONE, EMAIL, CPF = "Zumira Canário", "11987650042", "zumira.canario@example.com", "529.982.247-25"
FORGED = f'{NAME}\r\n{{"event": "forged.line"}}\r\n\x1b[2J\x1b[31m'
NUL = f"{NAME} \0"
CUSTOMER = {"name": NAME, "phone": PHONE, "email": EMAIL, "cpf": CPF, "note": NAME}
OF_ONE_LEAD = 30


def lead_ids() -> list[str]:
    """A lead for each shape and way in, and the special cases of people."""
    ways = [f"canary-{shape}-{way}" for shape in SHAPES for way in ("signed", "token")]
    return [*ways, "twins-canary", "nomatch-canary", "phoneonly-canary", "emailonly-canary"]


def marks(leads: list[str]) -> list[str]:
    """How the names, phones, e-mails and CPFs of all of them may be spelled; in lower case."""
    found = ["zumira", NAME, EMAIL, "987650042", "98765-0042", CPF, "52998224725", "forged.line"]
    persons = [people.by_phone(PHONE), people.by_email(EMAIL)]
    for lead in leads:
        who = people.invent(lead)
        found += [who.name, *(text for text in (who.email, who.phone) if text)]
        persons += [who.phone_person, who.email_person]
    for person in persons:
        if person:
            digits, cpf = person.phone, person.cpf
            found += [person.name, person.mother, person.email, cpf, digits]
            found += [f"{digits[2:-4]}-{digits[-4:]}", f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"]
    return sorted({mark.lower() for mark in found})


def spellings(marked: list[str]) -> list[str]:
    """The same as they stand in JSON or Python text, where what is not ASCII is escaped."""
    escaped = [json.dumps(mark)[1:-1] for mark in marked]
    written = [repr(mark.encode())[2:-1] for mark in marked]
    return sorted({*marked, *escaped, *(text.lower() for text in written)})


def body(lead_id: object = "canary-marked", action: str = "on_create_lead", **more: object) -> bytes:
    """A webhook about the marked person."""
    whole = {"lead_id": lead_id, "action": action, "attributes": {"customer": CUSTOMER}} | more
    return json.dumps(whole).encode()


@dataclass
class Canaries:
    """Sends; ``said`` is every answer with its head."""

    system: System
    said: list[str] = field(default_factory=list)

    async def ask(
        self,
        data: bytes,
        expected: int,
        headers: Mapping[str, str] | None = None,
        path: str = WEBHOOKS,
        secret: str = "",
    ) -> str:
        """Post it, signed unless ``headers`` say otherwise; what was answered."""
        ready = self.system.ready
        if headers is None:
            headers = signed(data, secret or ready["webhook_secret"])
        named = {"User-Agent": EMAIL, "X-Customer": PHONE, "Content-Type": "application/json", **headers}
        url = ready["ingress_url"] + path
        async with self.system.http.post(url, data=data, headers=named) as answer:
            text = await answer.text()
            self.said.append(f"{answer.status} {dict(answer.headers)!r} {text}")
        assert answer.status == expected, self.said[-1]
        return text

    async def good(self) -> None:
        """Every shape, signed and by URL token, create and update; a repeat; secrets of before; odd names."""
        now = datetime.now(UTC)
        token = f"{WEBHOOKS}/{self.system.ready['webhook_token']}"
        for shape in SHAPES:
            for action in ("on_create_lead", "on_update_lead"):
                ask = f"?action={action}" if shape == "get" else ""
                one = webhook_body(f"canary-{shape}-signed", action, shape, now)
                await self.ask(one, 200, path=WEBHOOKS + ask)
                await self.ask(one, 200, path=WEBHOOKS + ask)
                other = webhook_body(f"canary-{shape}-token", action, shape, now)
                await self.ask(other, 200, {}, path=token + ask)
        for lead in lead_ids()[-4:]:
            await self.ask(webhook_body(lead, "on_create_lead", "data", now), 200)
        await self.ask(body(), 200, secret=PREVIOUS)
        await self.ask(body(changed=NAME), 200)  # the same create with another body
        for number, name in enumerate((FORGED, NUL)):
            odd = {"customer": {**CUSTOMER, "name": name}}
            await self.ask(body(f"canary-odd-{number}", attributes=odd), 200)
        await self.ask(body("canary-unknown", "on_unknown_lead"), 200)
        batch = [json.loads(body("canary-batch")), {"lead_id": NAME, "action": "on_create_lead"}, NAME]
        await self.ask(json.dumps(batch).encode(), 200)
        await self.ask(body("canary-marked", "on_close_lead"), 200)

    async def bad(self) -> None:
        """What is refused, with personal data in each part of it."""
        for headers in ({}, {"X-C2S-Signature": "0" * 64}, {"X-C2S-Signature": EMAIL},
                        {"X-C2S-Signature": NAME}):  # fmt: skip
            await self.ask(body(), 401, headers)
        await self.ask(body(timestamp=int(datetime.now(UTC).timestamp()) - 301), 401)
        for time in (PHONE + NAME, EMAIL, "-1"):
            await self.ask(body(timestamp=time), 400)
        await self.ask(body(), 404, {}, path=f"{WEBHOOKS}/{EMAIL}")
        await self.ask(body(), 404, {}, path=f"/{EMAIL}/{PHONE}?name={NAME}")
        await self.ask(body(), 415, {"Content-Encoding": "gzip"})
        for broken in (
            body()[:-1],
            json.dumps(NAME).encode(),
            b'{"name": "Zumira \\ud800"}',
            b'{"name": "Zumira", "x": NaN}',
            b'{"name":' * 40 + json.dumps(NAME).encode() + b"}" * 40,
            b'{"name": "Zumira", "x": ' + CPF[:3].encode() * 2000 + b"}",
            NAME.encode("latin-1"),
        ):
            await self.ask(broken, 400)
        for lead_id in ("", NAME, FORGED, EMAIL * 400, {"name": NAME}):
            await self.ask(body(lead_id), 422)
        some = [body("canary-often", "on_update_lead", timestamp=None, n=n) for n in range(OF_ONE_LEAD)]
        for one in some:
            await self.ask(one, 200)
        await self.ask(body("canary-often", "on_update_lead", n=OF_ONE_LEAD), 429)
        await self.trigger()
        await self.raw()

    async def trigger(self) -> None:
        """The old trigger and the operator API, with personal data in place of ids and keys."""
        for path in (
            f"/api/v1/leads/process?id={EMAIL}&key={PHONE}",
            f"/api/v1/events?lead={EMAIL}&status={NAME}",
            f"/api/v1/events/{EMAIL}",
            f"/console/events/{PHONE}?q={NAME}",
        ):
            for bearer in (EMAIL, self.system.ready["admin_token"]):
                url, headers = self.system.ready["ingress_url"] + path, {"Authorization": f"Bearer {bearer}"}
                async with self.system.http.get(url, headers=headers, allow_redirects=False) as answer:
                    self.said.append(f"{answer.status} {await answer.text()}")

    async def raw(self) -> None:
        """Too large, dripped, and what is no HTTP."""
        port = int(self.system.ready["ingress_url"].rpartition(":")[2])
        door = DoorProcess(0, port, Path())
        first = f"POST {WEBHOOKS} HTTP/1.1\r\nHost: d\r\nX-Customer: {PHONE}\r\n"
        for head, status in (
            (f"{first}Content-Length: 10737418240\r\n\r\n", 413),
            (f"{first}Content-Length: 5000\r\n\r\n", 408),
            (f"{first}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (f"{first}Host: {EMAIL}\r\n\r\n", 400),
            (f"{EMAIL} {PHONE}\r\n\r\n", 400),
            (f"GET http://{EMAIL}@[{PHONE} HTTP/1.1\r\nHost: {EMAIL}\r\n\r\n", 400),
        ):
            reply = await door.raw(head.encode(), body())
            self.said.append(reply.decode(errors="replace"))
            assert reply == b"" or reply.split(b" ", 2)[1] == str(status).encode(), reply


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Every log below a folder: the services', the servers', that of what runs them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix == ".log" or "logs" in path.parts):
            yield str(path.relative_to(folder)), path.read_text(encoding="utf-8", errors="replace")


async def metrics_of(http: aiohttp.ClientSession, urls: list[str]) -> dict[str, str]:
    """What each process counts."""

    async def of(url: str) -> str:
        async with http.get(f"{url}/metrics") as answer:
            assert answer.status == 200
            return await answer.text()

    return dict(zip(urls, await asyncio.gather(*map(of, urls)), strict=True))


def ports_in_a_row(number: int) -> int:
    """The first of so many free ports, below those that outgoing connections take."""
    for first in range(20_000 + os.getpid() % 1000 * 10, 32_000, number):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + number):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError


def shown(texts: Mapping[str, str], marked: list[str]) -> dict[str, list[str]]:
    """In which texts which marks can be read."""
    found = {name: [m for m in marked if m in text.lower()] for name, text in texts.items()}
    return {name: which for name, which in found.items() if which}
