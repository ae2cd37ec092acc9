"""docs/logs.md says what the code logs: no more, no less."""

import re

from support_logs import ROOT, said_by_the_code

ROW = re.compile(
    r"\| `(?P<name>[a-z0-9_.]+)` \| (?P<level>[a-z]+) \| (?P<fields>[^|]*) \| (?P<when>[^|]+) \|"
)
# What a line must never carry, whatever it is about.
PERSONAL = {"payload", "name", "phone", "email", "cpf", "body", "message", "url", "token", "path", "text"}


def told() -> dict[str, tuple[str, set[str]]]:
    lines = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8").splitlines()
    rows = [ROW.fullmatch(line) for line in lines if line.startswith("| `")]
    assert all(rows), "a row of docs/logs.md is malformed"
    names = [row["name"] for row in rows if row]
    assert names == sorted(set(names)), "rows are in order, each event has one"
    return {row["name"]: (row["level"], set(re.findall(r"`(\w+)`", row["fields"]))) for row in rows if row}


def test_the_table_and_the_code_name_the_same_events():
    """Each event of the code has its row, and each row its event."""
    assert set(told()) == set(said_by_the_code())


def test_an_event_has_one_level_and_the_fields_of_its_row():
    """A name means one thing: one level wherever it is logged, and the row names all its fields."""
    assert told() == {
        name: (", ".join(said.levels), said.fields) for name, said in said_by_the_code().items()
    }


def test_no_line_has_a_field_for_personal_data():
    """Payloads, persons, URLs and tokens have no field to be logged in."""
    carrying = {name: said.fields & PERSONAL for name, said in said_by_the_code().items()}
    assert {name for name, fields in carrying.items() if fields} == set()
