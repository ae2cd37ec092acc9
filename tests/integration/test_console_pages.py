"""The operator's work in the console, without a browser: search, story, dead letters, live parts."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import pytest
import redis.asyncio as redis
from support_console import Browser, browsing
from support_ingress import STREAM, Door, entries, open_door
from support_operator import accepted, actions, drop_payloads, end, forget, operated_settings, record

from ops.migrate import migrate
from schema.keys import GROUP


@pytest.fixture
async def door(redis_url: str, database_url: str) -> AsyncIterator[Door]:
    await migrate(database_url)
    await forget(database_url)
    async with open_door(operated_settings(redis_url, database_url)) as opened:
        yield opened


@pytest.fixture
async def browser(door: Door) -> AsyncIterator[Browser]:
    async with browsing(door) as opened:
        await opened.log_in()
        yield opened


async def test_the_overview_shows_what_happened(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """Tiles and charts count what ended; the live part is the page's middle alone."""
    for n in range(3):
        await end(redis_url, await accepted(door, f"L{n}"), error="C2S answered 500" if n else "")
    await record(redis_url, database_url)
    page = await browser.get("/console?span=15m")
    assert '<dd id="received">3</dd>' in page.text
    assert "33.3 %" in page.words
    assert page.text.count("<svg") == 9  # six charts, and a strip per breaker
    assert page.text.count('<rect class="bad"') >= 1
    assert "up to date" in page.words
    live = await browser.get("/console?span=15m", HX_Request="true")
    assert live.text.lstrip().startswith('<dl class="tiles">')
    assert "<nav" not in live.text


async def test_the_overview_says_who_works_and_how_far_the_record_is(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """No processor is a fault in words; one that was heard of counts; what is not recorded is an age."""
    await accepted(door, "L1")
    page = await browser.get("/console")
    assert re.search(r'class="bad"><dt>Live processors</dt><dd id="processors">0<', page.text)
    assert "no lead gets a message" in page.words
    assert re.search(r'<dd id="lag">[0-9.]+ s', page.text)
    async with redis.Redis.from_url(redis_url) as client:
        await client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
        await client.xreadgroup(GROUP, "p1", {STREAM: ">"}, count=1)
    await record(redis_url, database_url)
    page = await browser.get("/console")
    assert '<dd id="processors">1<' in page.text
    assert "no lead gets a message" not in page.words


async def test_the_overview_without_redis_says_what_it_cannot_know(database_url: str) -> None:
    """The record is shown all the same; what only Redis knows is a question mark, never a zero."""
    await migrate(database_url)
    async with (
        open_door(operated_settings("redis://127.0.0.1:1/0", database_url)) as lonely,
        browsing(lonely) as visitor,
    ):
        await visitor.log_in()
        page = await visitor.get("/console")
        assert page.status == 200
        assert "Redis does not answer at present." in page.words
        assert '<dd id="processors">?</dd>' in page.text
        assert '<dd id="lag">?</dd>' in page.text
        assert '<dd id="received">' in page.text


async def test_the_overview_shows_when_breakers_were_open(browser: Browser, database_url: str) -> None:
    """Each alert on a breaker is a mark on the strip of its API; one before the span is none."""
    conn = await asyncpg.connect(database_url)
    await conn.executemany(
        "INSERT INTO alerts (fingerprint, rule, severity, summary, value, threshold, opened_at, resolved_at)"
        " VALUES ($1, 'breaker_open', 'warning', 's', 1, 0, NOW() - $2::INTERVAL, NOW() - $3::INTERVAL)",
        [
            ("breaker_open:work", timedelta(minutes=10), timedelta(minutes=5)),
            ("breaker_open:work", timedelta(minutes=3), None),
            ("breaker_open:c2s", timedelta(hours=3), timedelta(hours=2)),
        ],
    )
    await conn.close()
    page = await browser.get("/console?span=15m")
    assert "Breaker of work: open 2 time(s)" in page.text
    assert "Breaker of c2s: open 0 time(s)" in page.text
    assert "See the API&#39;s own status" in (await browser.get("/console/alerts")).text


async def test_events_by_filter_and_page(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """Filters narrow the list; fifty to a page, and the next page has the rest."""
    for n in range(52):
        await accepted(door, f"L{n}")
    await record(redis_url, database_url)
    first = await browser.get("/console/events")
    assert first.text.count('data-label="Lead"') == 50
    onward = first.text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await browser.get(onward)).text.count('data-label="Lead"') == 2
    one = await browser.get("/console/events?lead=L7&status=received&since=1h&action=on_create_lead")
    assert one.text.count('data-label="Lead"') == 1
    assert (await browser.get("/console/events?since=yesterday")).status == 422
    assert (await browser.get("/console/events?until=1h")).text.count('data-label="Lead"') == 0
    now = f"{datetime.now() + timedelta(minutes=1):%Y-%m-%d %H:%M}"  # noqa: DTZ005 -- as the console shows it
    assert (await browser.get(f"/console/events?lead=L7&until={now}")).text.count('data-label="Lead"') == 1


async def test_leads_and_people_by_page(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """Fifty to a page, none twice and none left out, also where all changed at one moment."""
    conn = await asyncpg.connect(database_url)
    await conn.execute(
        "INSERT INTO lead_state SELECT 'P' || n, gen_random_uuid(), 'on_create_lead', 'success', 'sent', '',"
        " 1, '2026-01-21T12:00:00Z' FROM generate_series(1, 120) n"
    )
    await conn.execute(
        "INSERT INTO people (cpf, name, found_at, updated_at) SELECT '000' || lpad(n::TEXT, 6, '0') || '00',"
        " '', '2026-01-21T12:00:00Z', '2026-01-21T12:00:00Z' FROM generate_series(1, 60) n"
    )
    await conn.close()
    for path, label, count in (("/console/leads", "Lead", 120), ("/console/people", "CPF", 60)):
        seen: list[str] = []
        onward = path
        while onward:
            page = (await browser.get(onward)).text
            seen += re.findall(rf'data-label="{label}"[^>]*>(.*?)</td>', page)
            onward = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert len(seen) == len(set(seen)) == count
        assert (await browser.get(f"{path}?after=nonsense")).status == 422
    assert (await browser.get("/console/people?after=1.L")).status == 422


async def test_a_story_follows_live_until_its_end(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """An event in work asks for its story again and again; one that has ended does not."""
    event_id = await accepted(door, "L1")
    await record(redis_url, database_url)
    path = f"/console/events/{event_id}"
    assert f'hx-get="{path}"' in (await browser.get(path)).text
    await end(redis_url, event_id, message="Pessoa encontrada")
    await record(redis_url, database_url)
    done = await browser.get(path, HX_Request="true")
    assert "hx-get" not in done.text
    assert "Message on the lead" in done.words
    assert "people 120" in " ".join(done.words.split())


async def test_a_message_is_shown_once_it_is_said_why(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """It is hidden on its event's page, shown with a reason, noted; also where the webhook is dropped."""
    event_id = await accepted(door, "L1")
    await end(redis_url, event_id, message="Pessoa encontrada")
    await record(redis_url, database_url)
    await drop_payloads(database_url)
    path = f"/console/events/{event_id}"
    hidden = await browser.get(path)
    assert "Pessoa" not in hidden.text
    assert "dropped by now" in hidden.words
    assert (await browser.post(f"{path}/reveal", {"what": "message"})).status == 422
    shown = await browser.post(f"{path}/reveal", {"what": "message", "reason": "the broker asked"})
    assert "Pessoa encontrada" in shown.words
    noted = ("console", "message_revealed", event_id, "the broker asked", 1)
    assert (await actions(database_url))[1:] == [noted]
    assert "revealed a message" in (await browser.get("/console/actions")).words
    nothing = await browser.post(f"/console/events/{await accepted(door, 'L2')}/reveal", {
        "what": "message", "reason": "the broker asked",
    })  # fmt: skip
    assert nothing.status == 404
    assert len(await actions(database_url)) == 2


async def test_dead_letters_are_previewed_and_replayed(
    browser: Browser, door: Door, redis_url: str, database_url: str
) -> None:
    """The preview names the number and cost; the act needs a reason, leads to the event, and is noted."""
    ids = [await accepted(door, f"L{n}") for n in range(3)]
    for event_id in ids:
        await end(redis_url, event_id, error="C2S answered 500")
    await record(redis_url, database_url)
    assert (await browser.get("/console/dead?lead=L1")).text.count('name="event"') == 1
    assert (await browser.post("/console/dead/preview", {"act": "replay"})).status == 422
    preview = await browser.post("/console/dead/preview", {"act": "replay", "code": "c2s_error", "all": "1"})
    assert "Replay 3 event(s)?" in preview.words
    assert "Takes 3 to 6 C2S calls" in preview.words
    aged = await browser.post("/console/dead/preview", {"act": "replay", "since": "2h", "all": "1"})
    assert re.search(
        r'name="since" value="20\d\d-[^"]+\+00:00"', aged.text
    )  # fixed, whenever it is confirmed
    one = {"event": ids[0], "act": "replay"}
    assert (await browser.post("/console/dead/act", one)).status == 422
    done = await browser.post("/console/dead/act", one | {"reason": "C2S is back"})
    assert done.headers["Location"] == f"/console/events/{ids[0]}?done=replayed"
    rest = {"all": "1", "act": "discard", "reason": "tests"}
    assert (await browser.post("/console/dead/act", rest)).headers["Location"].endswith("count=2")
    assert entries(redis_url, "c2s:{0}:dead") == []
    assert [row[1:] for row in (await actions(database_url))[1:]] == [
        ("dead_replayed", ids[0], "C2S is back", 1),
        ("dead_discarded", "all", "tests", 2),
    ]


async def test_two_languages(browser: Browser) -> None:
    """As the browser prefers, until another is chosen, which is remembered."""
    assert "Overview" in (await browser.get("/console")).words
    assert "Visão geral" in (await browser.get("/console", Accept_Language="pt-BR,pt;q=0.9")).words
    assert 'lang="pt-BR"' in (await browser.get("/console?lang=pt")).text
    assert "Eventos" in (await browser.get("/console/events")).words


async def test_an_unknown_event_is_told_as_a_page(browser: Browser) -> None:
    assert (await browser.get("/console/events/00000000-0000-0000-0000-000000000000")).status == 404
    assert "No such event" in (await browser.get("/console/events/nonsense")).words
