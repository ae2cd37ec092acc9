"""The settings table of the README and docs/settings.md, made from the code.

``python -m ops.settings_table README.md`` renews both.
"""

import sys
from collections.abc import Collection
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from ops.settings import Settings

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


PAGE = "docs/settings.md"
_HEAD = """# Settings

Made from the code: `python -m ops.settings_table README.md` renews it, a test keeps it current.

Settings come from the environment; each may also come as `NAME_FILE`, the path of a file that holds it. They
are checked together at the start: a wrong one stops it with exit code 2 and is named. `c2s doctor` says
whether each service would start.
"""


def table(names: Collection[str] = Settings.model_fields) -> str:
    """Settings as a Markdown table, in the order of the code."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for name in names:
        field = Settings.model_fields[name]
        rows.append(f"| `{name.upper()}` | {_default(field.default)} | {field.description or ''} |")
    return "\n".join(rows)


def whole_page() -> str:
    """docs/settings.md: a table per area, in the order in which the README has them."""
    parts = [_HEAD]
    for area in reversed(Settings.__bases__):
        title = (area.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        names = [name for name in Settings.model_fields if name in area.__annotations__]
        parts.append(f"## {title}\n\n{table(names)}\n")
    return "\n".join(parts)


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "host name and process id"
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`" if text else "none"


def renewed(page: str) -> str:
    """A page with its table renewed.

    Raises:
        ValueError: the page lacks the two markers.
    """
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    (page.parent / PAGE).write_text(whole_page(), encoding="utf-8")
