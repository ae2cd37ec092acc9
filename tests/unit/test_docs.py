"""The docs are true: links lead somewhere, and every command they name exists with those options."""

import re
import shlex
from pathlib import Path

import pytest
from support_commands import options_of, tree

from ops.settings import Settings
from schema.status import FINAL, RANKS, STATUS_AFTER

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# Settings are checked by name; what else a command line sets must be read somewhere.
SOURCES = [ROOT / "Makefile", ROOT / "compose.yaml", ROOT / ".ci/run", *(ROOT / "ops").rglob("*.py")]
SOURCES += [*(ROOT / "ops/scripts").glob("*.sh"), *(ROOT / "tests").rglob("*.py")]
WORDS = re.compile(r"\b[A-Z][A-Z0-9_]{4,}\b")
NAMED_IN_CODE = {word for file in SOURCES for word in WORDS.findall(file.read_text(encoding="utf-8"))}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

each = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r'id="([^"]+)"', text))


def commands(page: Path) -> list[str]:
    """Every line of code that begins with `c2s`, `make` or a script of ours, without what goes before it."""
    found = []
    for block, inline in CODE.findall(page.read_text(encoding="utf-8")):
        for line in (block or inline).replace("\\\n", " ").splitlines():
            words = re.sub(r"\s#.*$", "", line)  # a remark
            match = re.search(
                r"(?:^|\s|\$\()((?:\.venv/bin/)?c2s|make|ops/scripts/\w+\.sh)(?= |$)(.*)", words
            )
            if match and re.fullmatch(
                r"(?:\w+=(?:\"[^\"]*\"|\$\([^)]*\)|\S*)\s+|\w+=\$\()*", words[: match.start(1)]
            ):
                found.append(match[1].removeprefix(".venv/bin/") + match[2])
    return found


@each
def test_links_lead_somewhere(page):
    """Relative links name a file that is there and a heading that it has."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each
def test_commands_exist_with_their_options(page):
    """A command in the docs is one that c2s, make or ops/scripts has."""
    known = tree()
    for line in commands(page):
        program, *words = shlex.split(line.rstrip(")").replace("…", "x"))
        if program == "make":
            assert {w for w in words if "=" not in w} <= TARGETS, line
        elif program == "c2s":
            words = [word for word in words if word not in {"|", ">"}]
            check(line, words, known)
        else:
            assert (ROOT / program).exists(), line


def check(line, words, known):
    if not words or words[0].startswith("-"):
        return  # c2s itself, or c2s --install-completion
    name = next((n for n in (" ".join(words[:2]), words[0]) if n in known), None)
    if name is None:
        assert any(command.startswith(f"{words[0]} ") for command in known), line  # a group, named as such
        return
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= options_of(known[name]), line


def test_the_docs_name_commands_at_all():
    """The reader of commands finds some: an empty list would prove nothing."""
    found = [line for page in PAGES for line in commands(page)]
    assert len(found) > 100
    assert "c2s subscribe --url https://…/api/v1/webhook/leads" in found


def test_the_runbook_has_every_alert():
    """Each alert of docs/alerts.md has a section that says what to look at and what to do."""
    alerts = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "docs/alerts.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", runbook, re.MULTILINE | re.DOTALL))
    alerts = [name for name in alerts if name.islower()]
    assert len(alerts) >= 15
    for name in alerts:
        assert "Look:" in sections[name], name
        assert "Do:" in sections[name], name


def test_the_page_of_states_is_the_machine():
    """Every status, what is final, and what each fact makes of it, as schema/status.py says."""
    page = (ROOT / "docs/states.md").read_text(encoding="utf-8")
    facts = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d) \|", page, re.MULTILINE)
    assert {fact: (status, int(rank)) for fact, status, rank in facts} == {
        fact: (str(STATUS_AFTER[fact]), rank) for fact, rank in RANKS.items()
    }
    final = dict(re.findall(r"^\| `(\w+)` \| .* \| (yes|no) \|", page, re.MULTILINE))
    assert {status for status, said in final.items() if said == "yes"} == {str(s) for s in FINAL}


@each
def test_settings_in_the_docs_exist(page):
    """`NAME=` in a command of the docs is a setting of ours, or something else reads it."""
    known = {name.upper() for name in Settings.model_fields} | NAMED_IN_CODE
    for block, inline in CODE.findall(page.read_text(encoding="utf-8")):
        for name in re.findall(r"(?:^|[\s$({])([A-Z][A-Z0-9_]{4,})=", block or inline):
            assert name.removesuffix("_FILE") in known, name
