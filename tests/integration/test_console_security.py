"""The console against whoever should not get in, and against what customers write."""

import time
from collections.abc import AsyncIterator

import pytest
from support_console import Browser, browsing
from support_ingress import Door, door_settings, entries, open_door
from support_operator import ADMIN_TOKEN, accepted, actions, end, forget, operated_settings, record

from ingress.console.session import COOKIE, Signer
from ops.migrate import migrate

OUR_SCRIPTS = 2  # htmx, and what brings the name of the page into sight
EVIL = "<script>alert(1)</script>"
PAGES = ("", "/events", "/dead", "/leads", "/people", "/alerts", "/settings", "/actions")


@pytest.fixture
async def door(redis_url: str, database_url: str) -> AsyncIterator[Door]:
    await migrate(database_url)
    await forget(database_url)
    async with open_door(operated_settings(redis_url, database_url)) as opened:
        yield opened


@pytest.fixture
async def browser(door: Door) -> AsyncIterator[Browser]:
    async with browsing(door) as opened:
        yield opened


async def test_nobody_sees_a_page_without_a_session(browser: Browser) -> None:
    """Every page leads to the login; a form changes nothing; a live part says where to go."""
    for path in PAGES:
        answer = await browser.get(f"/console{path}")
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/console/login")
    assert (await browser.post("/console/dead/act", {"all": "1", "reason": "none"})).status == 303
    live = await browser.get("/console", HX_Request="true")
    assert (live.status, live.headers["HX-Redirect"]) == (401, "/console/login")


async def test_without_a_token_configured_it_is_not_there(redis_url: str, database_url: str) -> None:
    """No ADMIN_TOKEN: 404 on every page, the login too, and an empty token logs nobody in."""
    async with open_door(door_settings(redis_url, database_url)) as closed, browsing(closed) as browser:
        for path in (*PAGES, "/login", "/static/console.css"):
            assert (await browser.get(f"/console{path}")).status == 404
        assert (await browser.post("/console/login", {"token": ""})).status == 404


async def test_a_wrong_token_is_refused_and_guessing_slowed_down(browser: Browser) -> None:
    """401 ten times, then 429 with Retry-After, for the right token too."""
    for _ in range(10):
        answer = await browser.log_in("wrong")
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers or COOKIE not in answer.headers["Set-Cookie"]
    slowed = await browser.log_in()
    assert slowed.status == 429
    assert int(slowed.headers["Retry-After"]) > 0


async def test_a_session_cookie_is_kept_close(browser: Browser) -> None:
    """HttpOnly, SameSite=Strict, for the console only, with an end; Secure behind TLS; without the token."""
    await browser.get("/console/login")
    answer = await browser.post("/console/login", {"token": ADMIN_TOKEN}, X_Forwarded_Proto="https")
    cookie = answer.headers["Set-Cookie"]
    for word in ("HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age=", "Secure"):
        assert word in cookie
    assert ADMIN_TOKEN not in cookie


@pytest.mark.parametrize("forge", ["other key", "no end", "over", "garbage", "unsigned"])
async def test_a_forged_or_expired_session_is_none(browser: Browser, forge: str) -> None:
    """A cookie signed with another key, prolonged, past its end or made up leads to the login."""
    signer = Signer(ADMIN_TOKEN.encode())
    session, good = signer.begin(time.time())
    cookies = {
        "other key": Signer(b"guess").begin(time.time())[1],
        "no end": good.replace(str(session.ends_at), str(session.ends_at + 9999)),
        "over": signer.begin(time.time() - 9 * 3600)[1],
        "garbage": "a.b.c.d",
        "unsigned": f"{session.id}.{session.ends_at}.",
    }
    assert (await browser.get("/console", Cookie=f"{COOKIE}={good}")).status == 200
    assert (await browser.get("/console", Cookie=f"{COOKIE}={cookies[forge]}")).status == 303


async def test_forms_need_a_token_of_this_session(browser: Browser, redis_url: str, door: Door) -> None:
    """Missing, forged, of another session, or sent by another site: 403, and nothing is done."""
    await end(redis_url, await accepted(door, "L1"), error="C2S answered 500")
    await browser.log_in()
    order = {"all": "1", "act": "discard", "reason": "forged"}
    other = Signer(ADMIN_TOKEN.encode()).form_token("0" * 24)
    for token in ("", "0" * 64, other, "\u00e9"):
        assert (await browser.post("/console/dead/act", order | {"form_token": token})).status == 403
    await browser.get("/console")
    assert (await browser.post("/console/dead/act", order, Sec_Fetch_Site="cross-site")).status == 403
    assert len(entries(redis_url, "c2s:{0}:dead")) == 1
    assert (await browser.post("/console/dead/act", order, Sec_Fetch_Site="same-origin")).status == 303


async def test_nobody_is_logged_in_by_another_site(browser: Browser) -> None:
    """The login form needs the token of its own page, too."""
    assert (
        await browser.post("/console/login", {"token": ADMIN_TOKEN, "form_token": "0" * 64})
    ).status == 403


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example", "//evil.example", "/console//evil.example", "/\\evil.example", "/consolex",
     "/console/../x?y=//e", "javascript:alert(1)", "/console/\r\nX: y", "/api/v1/stats"],
)  # fmt: skip
async def test_the_login_leads_nowhere_else(browser: Browser, onward: str) -> None:
    """`next` may name a page of the console and nothing else."""
    answer = await browser.log_in(onward=onward)
    assert answer.status == 303
    assert answer.headers["Location"] == "/console"


async def test_the_login_leads_back(browser: Browser) -> None:
    """Whoever asked for a page gets there after the login."""
    asked = await browser.get("/console/events?status=failed")
    assert asked.headers["Location"] == "/console/login?next=%2Fconsole%2Fevents%3Fstatus%3Dfailed"
    assert (
        (await browser.log_in(onward="/console/events?status=failed")).headers["Location"].endswith("failed")
    )


async def test_a_browser_may_load_nothing_but_our_files(browser: Browser) -> None:
    """A strict policy and its companions on every page; no inline script or style."""
    await browser.log_in()
    for path in (*PAGES, "/login"):
        page = await browser.get(f"/console{path}")
        assert page.status == 200, path
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        assert "<style" not in page.text
        assert "style=" not in page.text
        assert page.text.count("<script") == page.text.count('<script src="/console/static/') == OUR_SCRIPTS


async def test_what_customers_write_stays_text(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """Markup in a name, an error and a message is escaped wherever it is shown, revealed or searched for."""
    first = await accepted(door, "L1", name=f"{EVIL}\r\n\x1b[31m")
    await end(redis_url, first, message=f"Pessoa {EVIL}")
    second = await accepted(door, "L2")
    await end(redis_url, second, error=f"C2S said {EVIL}")
    await record(redis_url, database_url)
    await browser.log_in()
    for path in (f"/events/{first}", f"/events/{second}", "/events", "/dead"):
        page = await browser.get(f"/console{path}")
        assert EVIL not in page.text
        assert page.text.count("<script") == OUR_SCRIPTS
    assert "&lt;script&gt;" in (await browser.get("/console/dead")).text
    order = {"reason": EVIL}
    told = await browser.post(f"/console/events/{first}/reveal", order | {"what": "message"})
    shown = await browser.post(f"/console/events/{first}/reveal", order)
    assert all("&lt;script&gt;" in page.text for page in (told, shown))
    assert EVIL not in told.text + shown.text + (await browser.get("/console/actions")).text
    assert EVIL not in (await browser.post("/console/events/search", {"person": EVIL})).text


async def test_a_reveal_needs_a_reason_and_is_on_record(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """Masked until revealed; without a reason nothing is; who, what and why is noted, never the content."""
    event_id = await accepted(door, "L1")
    await record(redis_url, database_url)
    await browser.log_in()
    assert "ana@exemplo.com.br" not in (await browser.get(f"/console/events/{event_id}")).text
    assert (await browser.post(f"/console/events/{event_id}/reveal", {"reason": " "})).status == 422
    shown = await browser.post(f"/console/events/{event_id}/reveal", {"reason": "the customer asked"})
    assert "ana@exemplo.com.br" in shown.words
    noted = await actions(database_url)
    assert [row[:4] for row in noted] == [
        ("console", "login", "", ""),
        ("console", "payload_revealed", event_id, "the customer asked"),
    ]


async def test_a_person_is_found_by_contact_and_the_search_is_on_record(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """By phone however written, by e-mail; the term stands in no address and no table."""
    event_id = await accepted(door, "L1")
    await record(redis_url, database_url)
    await browser.log_in()
    for term in ("+55 11 98765-1234", "987651234", "ANA@exemplo.com.br"):
        assert event_id in (await browser.post("/console/events/search", {"person": term})).text
    assert event_id not in (await browser.post("/console/events/search", {"person": "0000"})).text
    noted = await actions(database_url)
    assert [row[1:] for row in noted[1:]] == [("person_searched", "", "", 1)] * 3 + [
        ("person_searched", "", "", 0)
    ]


async def test_methods_are_not_mixed_up(browser: Browser) -> None:
    """What changes something takes POST alone; a page takes none."""
    await browser.log_in()
    for path in ("/logout", "/dead/act", "/dead/preview", "/events/search"):
        assert (await browser.get(f"/console{path}")).status in (404, 405)
    assert (await browser.post("/console/settings")).status == 405


async def test_settings_show_no_secret(browser: Browser) -> None:
    """Values are shown, secrets only as set or not."""
    await browser.log_in()
    page = await browser.get("/console/settings")
    for secret in (
        ADMIN_TOKEN,
        "door-secret",
        "token-in-the-url",
        "trigger-key",
        "postgresql://",
        "redis://",
    ):
        assert secret not in page.text
    assert "LEAD_RATE_LIMIT" in page.text


async def test_after_the_logout_the_cookie_is_gone(browser: Browser) -> None:
    """Logging out takes the cookie away; the next page is the login."""
    await browser.log_in()
    assert (await browser.post("/console/logout")).status == 303
    assert (await browser.get("/console")).status == 303


async def test_away_servers_are_told_as_a_page(redis_url: str) -> None:
    """With Postgres away the login says so instead of failing."""
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    async with open_door(operated_settings(redis_url, nowhere)) as door, browsing(door) as browser:
        assert (await browser.log_in()).status == 503
