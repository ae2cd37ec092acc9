"""The OpenAPI document, as JSON for machines and as one page for people that loads nothing from anywhere."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

_CODE = re.compile("`([^`]+)`")
_PAGES = Path(__file__).parent / "pages"


class Docs:
    """Serves the document; each form is made when first asked for."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    async def openapi(self, _request: web.Request) -> web.Response:
        """``GET /openapi.json``."""
        return web.Response(body=self._json, content_type="application/json")

    async def page(self, _request: web.Request) -> web.Response:
        """``GET /docs``."""
        body, policy = self._page
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    @cached_property
    def _document(self) -> dict[str, Any]:
        return self._make()

    @cached_property
    def _json(self) -> bytes:
        return orjson.dumps(self._document, option=orjson.OPT_INDENT_2)

    @cached_property
    def _page(self) -> tuple[bytes, str]:
        import jinja2  # noqa: PLC0415 -- a door that nobody asks for its page does not pay for it

        style = (_PAGES / "docs.css").read_text(encoding="utf-8")
        loader = jinja2.FileSystemLoader(_PAGES)
        pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        pages.filters |= {"pretty": _pretty, "prose": _prose}
        page = pages.get_template("docs.html").render(doc=self._document, tags=self._tags(), style=style)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        return page.encode(), policy + "; frame-ancestors 'none'"

    def _tags(self) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
        """Operations by tag: method, path and the operation itself."""
        tags: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                tags.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
        return tags


def _prose(text: str) -> str:
    """A text with `code` in backticks (descriptions are Markdown; ours use no more of it)."""
    from markupsafe import Markup, escape  # noqa: PLC0415 -- comes with jinja2

    # Of an escaped text only our own two tags are markup.
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
