"""Who visits the console: session, language, forms; and the way in and out.

Every page passes `page` (a session, or the way to the login), every form `form` (a session, a token of one of
its pages, and no other site as its source). The headers let a browser load nothing but our own files.
"""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

import asyncpg
import structlog
from aiohttp import web

from ingress.admin import Admin
from ingress.console.render import LANGUAGES, STATIC, Renderer
from ingress.console.session import COOKIE, LIFE_S, LOGIN_COOKIE, Session, Signer
from ingress.limits import Reading
from ingress.problems import Refusal
from ops.audit import Actor
from ops.inspect import Unmigrated
from ops.operating import Operating
from ops.settings import Settings
from schema.errors import SettingsError, StorageUnavailable

log = structlog.get_logger()

HOME = "/console"
LOGIN = "/console/login"
_LANGUAGE_COOKIE = "c2s_lang"
_LANGUAGE_LIFE_S = 365 * 86_400
_MOST_FIELDS = 2000
_NEXT = re.compile(r"/console(/[A-Za-z0-9._:@/-]*)?(\?[A-Za-z0-9._:@%&=+-]*)?", re.ASCII)
_OWN_SITE = ("same-origin", "none", "")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "HX-Request, Accept-Language, Cookie",
}


@dataclass(slots=True)
class Visit:
    """One request of somebody who has logged in.

    Attributes:
        fields: of a form, by name, in order.
    """

    request: web.Request
    session: Session
    actor: Actor
    language: str
    form_token: str
    fields: dict[str, list[str]]

    def field(self, name: str) -> str:
        return self.fields.get(name, [""])[0]


View = Callable[[Any, Visit], Awaitable[web.Response]]
Handler = Callable[[Any, web.Request], Awaitable[web.Response]]


def page(view: View) -> Handler:
    """A page for whoever has logged in."""

    async def handler(self: "Entrance", request: web.Request) -> web.Response:
        return await self.guarded(request, view, is_form=False)

    return handler


def form(view: View) -> Handler:
    """A form of whoever has logged in."""

    async def handler(self: "Entrance", request: web.Request) -> web.Response:
        return await self.guarded(request, view, is_form=True)

    return handler


class Entrance:
    """Login, logout, sessions, and the answers' common parts."""

    def __init__(self, settings: Settings, admin: Admin, reading: Reading, operating: Operating) -> None:
        self.settings = settings
        self.operating = operating
        self._admin = admin
        self._reading = reading
        self._signer = Signer(admin.secret)
        self._renderer = Renderer()

    async def guarded(self, request: web.Request, view: View, *, is_form: bool) -> web.Response:
        """A view's answer, or why there is none, as a page."""
        self._admin.there()
        session = self._signer.session_of(request.cookies.get(COOKIE, ""), time.time())
        if session is None:
            return self._to_login(request)
        visit = Visit(
            request, session, Actor(f"{self._admin.name}/{session.id[:8]}", "console"),
            language_of(request), self._signer.form_token(session.id), {},
        )  # fmt: skip
        try:
            if is_form:
                visit.fields = await self._fields(request)
                self._same_site(request, session.id, visit.field("form_token"))
            return await view(self, visit)
        except Refusal as refusal:
            log.warning(refusal.event, code=refusal.code, status=refusal.status, route="console")
            return self.show(visit, "problem", status=refusal.status, code=refusal.code, detail=str(refusal))
        except (StorageUnavailable, Unmigrated, SettingsError, asyncpg.UndefinedTableError) as error:
            log.warning("operator.unavailable", code="unavailable", status=503, route="console")
            detail = str(error) if not isinstance(error, asyncpg.PostgresError) else ""
            return self.show(visit, "problem", status=503, code="unavailable", detail=detail)

    def show(self, visit: Visit, template: str, status: int = 200, **values: Any) -> web.Response:
        """A template as a page, or its live part alone where the page asks for that."""
        live = visit.request.headers.get("HX-Request") == "true"
        text = self._renderer.render(
            template,
            visit.language,
            live=live,
            form_token=visit.form_token,
            path=visit.request.path,
            **values,
        )
        response = _html(text, status)
        _remember_language(visit.request, response)
        return response

    async def login_page(self, request: web.Request) -> web.Response:
        """``GET /console/login``."""
        self._admin.there()
        return self._login_form(request, request.query.get("next", ""), 200, "")

    async def login(self, request: web.Request) -> web.Response:
        """``POST /console/login``: the token makes a session; wrong ones are counted per source."""
        self._admin.there()
        fields = await self._fields(request)
        onward = fields.get("next", [""])[0]
        try:
            self._same_site(request, request.cookies.get(LOGIN_COOKIE, ""), fields.get("form_token", [""])[0])
            right = self._admin.is_token(request, fields.get("token", [""])[0])
        except Refusal as refusal:
            log.warning("auth.rejected", code=refusal.code, status=refusal.status, route=LOGIN)
            response = self._login_form(request, onward, refusal.status, refusal.code)
            response.headers.update(refusal.headers)
            return response
        if not right:
            log.warning("auth.rejected", code="admin_token_invalid", status=401, route=LOGIN)
            return self._login_form(request, onward, 401, "admin_token_invalid")
        session, cookie = self._signer.begin(time.time())
        try:
            actor = Actor(f"{self._admin.name}/{session.id[:8]}", "console")
            await self.operating.audit.done(await self.operating.audit.note(actor, "login"), 0)
        except (StorageUnavailable, asyncpg.UndefinedTableError):
            return self._login_form(request, onward, 503, "unavailable")
        response = redirect(onward if is_own(onward) else HOME)
        response.del_cookie(LOGIN_COOKIE, path=HOME)
        _set_cookie(request, response, COOKIE, cookie, LIFE_S)
        return response

    @form
    async def logout(self, visit: Visit) -> web.Response:
        """``POST /console/logout``."""
        await self.operating.audit.note(visit.actor, "logout")
        response = redirect(LOGIN)
        response.del_cookie(COOKIE, path=HOME)
        return response

    async def static(self, request: web.Request) -> web.Response:
        """``GET /console/static/{name}``: our own files, known by name."""
        self._admin.there()
        known = STATIC.get(request.match_info["name"])
        if known is None:
            raise web.HTTPNotFound
        body, kind = known()
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=300"}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    def _login_form(self, request: web.Request, onward: str, status: int, code: str) -> web.Response:
        known = request.cookies.get(LOGIN_COOKIE, "")
        visitor = known if re.fullmatch("[0-9a-f]{24}", known) else self._signer.begin(0)[0].id
        text = self._renderer.render(
            "login", language_of(request), live=False, form_token=self._signer.form_token(visitor),
            path=request.path, onward=onward if is_own(onward) else "", code=code,
        )  # fmt: skip
        response = _html(text, status)
        _set_cookie(request, response, LOGIN_COOKIE, visitor, 3600)
        _remember_language(request, response)
        return response

    def _to_login(self, request: web.Request) -> web.Response:
        if request.headers.get("HX-Request") == "true":
            return web.Response(status=401, headers={**_HEADERS, "HX-Redirect": LOGIN})
        onward = f"?next={quote(request.path_qs, safe='')}" if request.method == "GET" else ""
        return redirect(LOGIN + onward)

    async def _fields(self, request: web.Request) -> dict[str, list[str]]:
        raw = await self._reading.body(request)
        fields: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise Refusal(422, "form_invalid", "The form cannot be read.", event="operator.refused") from None
        for name, value in pairs:
            fields.setdefault(name, []).append(value)
        return fields

    def _same_site(self, request: web.Request, visitor: str, given: str) -> None:
        ours = request.headers.get("Sec-Fetch-Site", "") in _OWN_SITE
        if not ours or not visitor or not self._signer.is_form_token(visitor, given):
            detail = "The form did not come from a page of this session. Open the page again."
            raise Refusal(403, "form_token_invalid", detail, event="auth.rejected")


def is_own(onward: str) -> bool:
    """Whether it leads to a page of the console, and nowhere else."""
    return _NEXT.fullmatch(onward) is not None and "//" not in onward


def language_of(request: web.Request) -> str:
    """As chosen, else as the browser prefers, else Portuguese."""
    chosen = request.query.get("lang") or request.cookies.get(_LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return chosen
    preferred = [part.strip()[:2].lower() for part in request.headers.get("Accept-Language", "").split(",")]
    return next((language for language in preferred if language in LANGUAGES), LANGUAGES[0])


def redirect(to: str) -> web.Response:
    return web.Response(status=303, headers={**_HEADERS, "Location": to})


def _html(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def _set_cookie(request: web.Request, response: web.Response, name: str, value: str, life_s: int) -> None:
    # A proxy's word is enough here: a liar only keeps the cookie from being sent over plain HTTP.
    secure = request.secure or request.headers.get("X-Forwarded-Proto", "") == "https"
    response.set_cookie(
        name, value, max_age=life_s, path=HOME, httponly=True, samesite="Strict", secure=secure
    )


def _remember_language(request: web.Request, response: web.Response) -> None:
    if request.query.get("lang") in LANGUAGES:
        _set_cookie(request, response, _LANGUAGE_COOKIE, request.query["lang"], _LANGUAGE_LIFE_S)
