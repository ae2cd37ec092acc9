"""A browser without a browser: cookies kept, forms filled in as the pages give them."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape

import aiohttp
from support_ingress import Door
from support_operator import ADMIN_TOKEN

_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


@dataclass
class Page:
    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def words(self) -> str:
        return unescape(re.sub(r"<[^>]+>", " ", self.text))


@dataclass
class Browser:
    """Follows no redirect: where it leads is what a test looks at."""

    port: int
    client: aiohttp.ClientSession
    token: str = ""
    sent: dict[str, str] = field(default_factory=lambda: {"Accept-Language": "en"})

    async def get(self, path: str, **headers: str) -> Page:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Page:
        return await self._ask("POST", path, {"form_token": self.token} | dict(form or {}), headers)

    async def log_in(self, token: str = ADMIN_TOKEN, onward: str = "") -> Page:
        await self.get("/console/login")
        answer = await self.post("/console/login", {"token": token, "next": onward})
        if answer.status == 303:
            await self.get("/console")
        return answer

    async def _ask(self, method: str, path: str, data: object, headers: Mapping[str, str]) -> Page:
        url = f"http://127.0.0.1:{self.port}{path}"
        sent = self.sent | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, url, data=data, headers=sent, allow_redirects=False) as answer:
            text = await answer.text()
        if found := _TOKEN.search(text):
            self.token = found[1]
        told = {name: ", ".join(answer.headers.getall(name)) for name in answer.headers}
        return Page(answer.status, text, told)


@asynccontextmanager
async def browsing(door: Door) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        yield Browser(door.port, client)
