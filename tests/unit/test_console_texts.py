"""The console speaks two languages, wholly."""

import re
import time
from pathlib import Path
from string import Formatter

import pytest

from ingress.console.charts import Line, chart, scale
from ingress.console.render import Renderer, say, zone
from ingress.console.texts import TEXTS
from ingress.console.views import initials
from ops.operating import HIDDEN, mask
from ops.person_search import same_contact

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
    assert 'height="37.6"' in drawn


def test_a_line_is_interrupted_where_nothing_is_known():
    """Unknown is not zero."""
    assert chart("t", [Line("ok", [1, None, 1])], bars=False).svg.count("M") == 2


def test_whoever_points_at_a_stretch_is_told_its_values():
    """Each stretch that has something to say; the axis names its top, its middle and nothing."""
    drawing = chart("t", [Line("ok", [0, 7])], bars=True, notes=["", "10:00–10:01: <b> 7"])
    assert drawing.svg.count('class="told"') == 1
    assert "<title>10:00–10:01: &lt;b&gt; 7</title>" in drawing.svg
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
