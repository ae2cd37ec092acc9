"""The operator's work in a real Chromium on a real `c2s up`: light and dark, desktop and phone.

Screenshots go to the folder named by SCREENSHOTS (docs/img has those of the README).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.running import Up
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support_chromium import CHROMIUM

AXE = Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")
SETTINGS = {"C2S_RATE_LIMIT": "600/minute", "SANDBOX_C2S_RATE_LIMIT": "0"}
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = ("?span=15m", "/events", "/dead", "/leads", "/people", "/alerts", "/settings", "/actions")
WAIT_MS = 30_000
IN_SIGHT = "link => { const b = link.getBoundingClientRect(); return b.left >= 0 && b.right <= innerWidth; }"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up"), "--port", "0", "--no-traffic", env=SETTINGS) as running:
        running.until_ready()
        orders = {"count": 40, "prefix": "lead-", "deliver": True, "rate": 2.0}
        running.sandbox("leads", orders)
        counted = "SELECT count(*) FROM webhook_events WHERE status = 'success'"
        running.eventually(lambda: running.psql(counted), lambda n: int(n) >= 40)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(up: Up, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=DESKTOP, locale="en-US")
    yield logged_in(up, context)
    context.close()


def logged_in(up: Up, context: BrowserContext) -> Page:
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{up.note['ingress_url']}/console")
    page.locator("#token").fill(up.note["admin_token"])
    page.locator("#token").press("Enter")
    expect(page.locator("nav")).to_be_visible()
    return page


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def serious_faults(page: Page) -> list[str]:
    """What axe calls serious or critical on this page."""
    page.evaluate(AXE)  # by the debugger, which the page's own policy does not bind
    found = json.loads(page.evaluate("axe.run().then(r => JSON.stringify(r.violations))"))
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


def send(up: Up, lead_id: str) -> None:
    """As the README says."""
    done = up.c2s("send", lead_id)
    assert done.returncode == 0, done.stderr


def test_the_work_of_an_operator(up: Up, page: Page) -> None:
    """Find a dead event, see its payload, replay it, watch it succeed, see its message and the chart move."""
    up.sandbox("faults", {"target": "c2s.create_message", "kind": "error", "status": 404, "times": 1})
    send(up, "lead-gone")
    status = "SELECT status FROM webhook_events WHERE lead_id = 'lead-gone'"
    up.eventually(lambda: up.psql(status), lambda found: found == "failed")
    page.goto(f"{up.note['ingress_url']}/console?span=15m")
    received = page.locator("#received")
    before = int(received.inner_text())
    page.get_by_role("link", name="Events", exact=True).click()
    page.get_by_role("textbox", name="Lead").fill("lead-gone")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="lead-gone").click()
    expect(page.locator("#status")).to_have_text("failed")
    expect(page.locator(".timeline")).to_contain_text("Gave up after attempt 1")
    expect(page.locator("#payload pre")).to_contain_text("•••••")
    page.get_by_label("Reason").fill("the broker asked what came in")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#payload")).to_contain_text("Revealed; this was noted.")
    expect(page.locator("#payload pre")).to_contain_text('"lead-gone"')
    page.get_by_role("button", name="Replay this event").click()
    expect(page.locator("#cost")).to_contain_text("C2S calls")
    shot(page, "console-preview")
    page.get_by_label("Reason").fill("the lead is back at C2S")
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("#status")).to_have_text("success", timeout=WAIT_MS)  # live: nothing was reloaded
    expect(page.locator(".timeline")).to_contain_text("Put back to work: the lead is back at C2S")
    story = page.locator("#story")
    expect(story.locator("pre")).to_have_count(0)
    story.get_by_label("Reason").fill("the broker asked what we wrote")
    story.get_by_role("button", name="Reveal the message").click()
    expect(story.locator("pre")).to_contain_text("ref: ")
    shot(page, "console-event")
    assert len(up.messages("lead-gone")) == 1
    page.goto(f"{up.note['ingress_url']}/console?span=15m")
    expect(received).not_to_have_text("0")
    bars = page.locator("#chart-throughput rect")
    heights = bars.evaluate_all("all => all.map(bar => bar.getAttribute('height')).join()")
    send(up, "lead-that-moves-the-chart")
    page.wait_for_function(
        "old => [...document.querySelectorAll('#chart-throughput rect')]"
        ".map(bar => bar.getAttribute('height')).join() !== old",
        arg=heights,
    )
    expect(received).to_have_text(str(before + 1))
    page.goto(f"{up.note['ingress_url']}/console/actions")
    expect(page.locator("table")).to_contain_text("revealed a webhook")
    expect(page.locator("table")).to_contain_text("revealed a message")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_every_page_is_readable(up: Up, chromium: Browser, scheme: str, size: str) -> None:
    """No serious fault by axe, nothing wider than the screen, no error in the browser's console."""
    context = chromium.new_context(
        viewport=DESKTOP if size == "desktop" else PHONE,
        color_scheme=scheme,
        locale="pt-BR" if size == "phone" else "en-US",
    )
    page = logged_in(up, context)
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    event_id = up.psql("SELECT id FROM webhook_events WHERE status = 'success' LIMIT 1")
    for path in (*PAGES, f"/events/{event_id}"):
        page.goto(f"{up.note['ingress_url']}/console{path}")
        assert serious_faults(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        here = page.locator("nav [aria-current]")
        assert here.evaluate(IN_SIGHT), path
        name = path.strip("/?").replace("span=15m", "overview").split("/")
        if len(name) == 1:
            shot(page, f"console-{name[0]}-{size}-{scheme}")
    assert errors == []
    context.close()


def test_it_can_be_used_by_keyboard(page: Page) -> None:
    """The first Tab shows the way to the content; a link is followed by Enter, with a visible focus."""
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.get_by_role("link", name="Events", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Events")
