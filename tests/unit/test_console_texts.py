"""The console speaks two languages, wholly."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from ingress.console.charts import Line, chart, scale, strip
from ingress.console.effective import shown_settings
from ingress.console.lists import moment
from ingress.console.people import initials
from ingress.console.render import Renderer, say, zone
from ingress.console.story import timeline
from ingress.console.texts import TEXTS
from ingress.console.texts_advice import ADVICE
from ops.alerts.rules import RULES
from ops.inspect import Story
from ops.operating import mask
from ops.person_search import same_contact
from ops.settings import Settings
from ops.telling import HIDDEN
from ops.unprojected import Fact
from schema.events import (
    AttemptFailed,
    EventIgnored,
    EventReplayed,
    LeadProcessed,
    ProcessingStarted,
    WebhookAccepted,
)

CONSOLE = Path(__file__).parents[2] / "ingress" / "console"


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_text_is_there_in_both_languages():
    """None is empty, and both have the same places to fill in."""
    for key, (portuguese, english) in TEXTS.items():
        assert portuguese, key
        assert english, key
        assert names(portuguese) == names(english), key


def test_every_text_that_a_page_names_is_there():
    """Whatever a template asks for by its whole key is in the dictionary."""
    asked = set()
    for page in (CONSOLE / "templates").glob("*.html"):
        asked |= set(re.findall(r'\bt\([\'"]([^\'"]+)[\'"](?:,[^)]*)?\)', page.read_text(encoding="utf-8")))
    assert len(asked) > 60
    assert asked - set(TEXTS) == set()


def test_a_word_of_the_data_stands_for_itself():
    """An unknown key (an action of a newer C2S) is shown as it is."""
    assert say("pt", "on_something_new") == "on_something_new"


def test_a_chart_holds_its_values():
    """Each value has its bar, as high as its share; the words are escaped."""
    drawn = chart("<b>", [Line("ok", [0, 2, 4])], bars=True).svg
    assert drawn.count("<rect") == 2
    assert "<b>" not in drawn
    assert 'height="47.0"' in drawn


def test_a_line_is_interrupted_where_nothing_is_known():
    """Unknown is not zero."""
    assert chart("t", [Line("ok", [1, None, 1])], bars=False).svg.count("M") == 2


def test_whoever_points_at_a_stretch_is_told_its_values():
    """Each stretch that has something to say; the axis names its top, its middle and nothing."""
    drawing = chart("t", [Line("ok", [0, 9])], bars=True, notes=["", "10:00–10:01: <b> 9"])
    assert drawing.svg.count('class="told"') == 1
    assert "<title>10:00–10:01: &lt;b&gt; 9</title>" in drawing.svg
    assert drawing.ticks == ("10", "5", "0")


def test_a_word_of_the_record_is_said_in_the_readers_language():
    """Results and acts that the texts know; another stands for itself."""
    row = {"at": None, "actor": "a", "via": "cli", "target": "", "affected": 0, "reason": ""}
    rows = [row | {"action": name} for name in ("payload_revealed", "something_new")]
    page = {"live": False, "path": "/console/actions", "form_token": "", "rows": rows}
    shown = Renderer().render("actions", "pt", **page)
    assert "revelou um webhook" in shown
    assert "something_new" in shown


@pytest.mark.parametrize(
    ("name", "shown"), [("UTC0", "UTC"), ("<-03>3", "UTC-03:00"), ("<+0530>-5:30", "UTC+05:30")]
)
def test_the_zone_of_every_time_is_named_as_a_distance(monkeypatch, name, shown):
    """`-03`, as the system calls São Paulo's, says nothing to a reader."""
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        assert zone() == shown
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_axis_of_counts_names_whole_numbers():
    """Half an event is no count: the top is even, also where a single event stands on it."""
    tops = [scale(x, whole=True) for x in (0, 1, 3, 5, 7, 10, 11, 21, 99, 250)]
    assert tops == [2, 2, 4, 6, 8, 10, 20, 40, 100, 400]
    assert chart("t", [Line("ok", [5])], bars=True).ticks == ("6", "3", "0")


def test_a_strip_marks_its_spans():
    """Where a breaker was open, however short, with words for whoever points at it."""
    drawn = strip("c2s", [(0.5, 0.75, "10:00–10:05"), (0.9, 0.9, "<b>")])
    assert drawn.count('class="bad"') == 2
    assert 'x="240.0" y="0" width="120.0"' in drawn
    assert 'width="2.0"' in drawn
    assert "&lt;b&gt;" in drawn


def test_every_alert_has_its_advice_here_and_in_the_runbook():
    """Whoever is woken reads what to do in their language, and finds the chapter by the rule's name."""
    runbook = (CONSOLE.parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert {f"advice.{rule}" for rule in RULES} == set(ADVICE)
    for rule in RULES:
        assert f"\n## {rule}\n" in runbook, rule


def test_every_setting_has_its_place_in_a_named_area():
    """Each once; the areas are those of docs/settings.md."""
    areas = shown_settings(Settings())
    assert sorted(row["name"] for area in areas for row in area.rows) == sorted(
        name.upper() for name in Settings.model_fields
    )
    for area in areas:
        assert f"area.{area.name}" in TEXTS


def test_the_timeline_speaks_the_readers_language():
    """Results, steps and sources are words, not codes; the end of an attempt tells how long that took."""
    at = datetime(2026, 1, 21, 12, tzinfo=UTC)
    common = {"event_id": "e", "lead_id": "L", "action": "on_create_lead", "received_at": at}

    def after(seconds: int) -> dict[str, Any]:
        return {**common, "at": at + timedelta(seconds=seconds), "attempt": 1}

    events = [
        WebhookAccepted(**common, version="", source="trigger"),
        ProcessingStarted(**after(1)),
        AttemptFailed(**after(4), step="send", code="c2s_timeout", error="no answer"),
        ProcessingStarted(**after(9)),
        LeadProcessed(**after(11), result="sent", timings='{"people": 120}'),
        EventIgnored(**after(12), reason="already_final"),
        EventReplayed(**after(13), reason="sent"),
    ]
    facts = tuple(Fact(0, "outcomes", f"{n}-0", event, recorded=True) for n, event in enumerate(events))
    told = timeline(Story("e", None, facts), "pt")
    assert [moment.words for moment in told] == [
        "Recebido (pedido manual)",
        "Tentativa 1 começou",
        "Tentativa 1 falhou na etapa envio (c2s_timeout)",
        "Tentativa 1 começou",
        "Concluído: mensagem enviada",
        "Ignorado: o evento já terminou",
        "Devolvido ao trabalho: sent",
    ]
    assert [moment.took_s for moment in told] == [None, None, 3, None, 2, None, None]
    assert told[4].steps == [("pessoas", 120)]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2h", "2h"),
        ("2026-01-21 12:30:05", "2026-01-21T12:30:05-03:00"),
        ("2026-01-21T12:30", "2026-01-21T12:30:00-03:00"),
        ("2026-01-21", "2026-01-21T00:00:00-03:00"),
        ("2026-01-21T12:30:05Z", "2026-01-21T12:30:05Z"),
        ("2026-02-31", "2026-02-31"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_moment_may_be_typed_as_it_is_shown(monkeypatch, typed, meant):
    """A time copied from a list means what it meant there; what is none is left to be refused."""
    monkeypatch.setenv("TZ", "<-03>3")
    time.tzset()
    try:
        assert moment(typed) == meant
    finally:
        monkeypatch.undo()
        time.tzset()


def test_scales_are_round():
    assert [scale(x) for x in (0, 0.05, 1, 3, 7, 10, 11, 99, 250)] == [1, 0.1, 1, 5, 10, 10, 20, 100, 500]


def test_a_masked_body_keeps_its_shape():
    """Ids, actions and times stay; every other value is hidden, also in lists and depths."""
    body = {"id": "L1", "attributes": {"customer": {"name": "Ana", "phones": ["11", 2.5], "ok": None}}}
    hidden = {"customer": {"name": HIDDEN, "phones": [HIDDEN, HIDDEN], "ok": None}}
    assert mask(body) == {"id": "L1", "attributes": hidden}


def test_contacts_are_the_same_however_written():
    assert same_contact("+55 (11) 98765-4321", "", ["11987654321"])
    assert same_contact("98765-4321", "", ["+5511987654321"])
    assert same_contact(" Ana@Exemplo.com", "ana@exemplo.com", [])
    assert not same_contact("4321", "", ["11987654321"])
    assert not same_contact("", "", [""])


def test_a_name_is_its_initials():
    assert initials("Ana Maria") == "A••• M•••"
    assert initials("") == "–"
