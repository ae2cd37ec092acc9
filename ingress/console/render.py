"""Templates and our own files; Jinja2 comes with the first page, so it costs only doors that show one."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingress.console.texts import TEXTS

if TYPE_CHECKING:
    import jinja2

LANGUAGES = ("pt", "en")
_HERE = Path(__file__).parent


@cache
def _file(name: str) -> bytes:
    return (_HERE / "static" / name).read_bytes()


STATIC: Mapping[str, Callable[[], tuple[bytes, str]]] = {
    "console.css": lambda: (_file("console.css"), "text/css"),
    "icon.svg": lambda: (_file("icon.svg"), "image/svg+xml"),
    "console.js": lambda: (_file("console.js"), "text/javascript"),
    "htmx.min.js": lambda: (_file("htmx.min.js"), "text/javascript"),
}


def say(language: str, key: str, /, **values: object) -> str:
    """A text in a language; a key that is a word of the data's (a status, a code) stands for itself."""
    texts = TEXTS.get(key)
    return texts[LANGUAGES.index(language)].format(**values) if texts else key


def named(language: str, kind: str, word: str) -> str:
    """A word of the data's (a result, a step) in the reader's language; an unknown one stands for itself."""
    key = f"{kind}.{word}"
    return say(language, key) if key in TEXTS else word


class Renderer:
    """Renders templates, with every value escaped."""

    @cached_property
    def _pages(self) -> "jinja2.Environment":
        import jinja2  # noqa: PLC0415 -- see above

        loader = jinja2.FileSystemLoader(_HERE / "templates")
        pages = jinja2.Environment(
            loader=loader,
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        pages.filters |= {"clock": clock, "moment": _moment, "seconds": _seconds, "number": _number}
        pages.filters |= {kind: partial(_named, kind) for kind in ("result", "act", "step")}
        pages.globals["zone"] = zone()
        return pages

    def render(self, template: str, language: str, **values: Any) -> str:
        """The text of ``<template>.html``."""
        return self._pages.get_template(f"{template}.html").render(
            t=partial(say, language), language=language, **values
        )


def zone() -> str:
    """The time zone of every time shown: TZ of this process, as a distance from UTC."""
    offset = time.strftime("%z")
    return "UTC" if offset in ("+0000", "-0000") else f"UTC{offset[:3]}:{offset[3:]}"


def clock(moment: datetime | None) -> str:
    """The time of day."""
    return f"{moment.astimezone():%H:%M:%S}" if moment else "–"


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else "–"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 60:  # noqa: PLR2004 -- a minute
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004
    minutes = value / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"  # noqa: PLR2004


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _named(kind: str, value: str | None, t: Callable[..., str]) -> str:
    """A word of the data in the reader's language; one that no text knows stands for itself."""
    if not value:
        return "–"
    return t(f"{kind}.{value}") if f"{kind}.{value}" in TEXTS else value
