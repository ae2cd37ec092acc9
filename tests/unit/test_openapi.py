"""The OpenAPI document: complete, well-formed, and readable without loading anything."""

import re
from html.parser import HTMLParser

import jsonschema
import pytest
from aiohttp.test_utils import make_mocked_request
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from support_openapi import Handlers, the_document

from ingress.docs import Docs
from ingress.openapi import Route, document
from ingress.routes import routes_of


def operations() -> list[tuple[str, str, dict]]:
    return [(m, p, o) for p, methods in the_document()["paths"].items() for m, o in methods.items()]


def test_it_is_openapi_31() -> None:
    """The specification's own schema accepts it."""
    OPENAPI_31_VALIDATOR.validate(the_document())


def test_every_schema_is_one() -> None:
    """Each named schema is valid JSON Schema, and every reference leads somewhere."""
    schemas = the_document()["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    used = set(re.findall(r"#/components/schemas/(\w+)", repr(the_document())))
    assert used == set(schemas)
    keys = {name for _, _, o in operations() for way in o["security"] for name in way}
    assert keys == set(the_document()["components"]["securitySchemes"])


def test_operations_are_told_apart() -> None:
    """Each has an id of its own, a tag, and every variable part of its address described."""
    ids = [o["operationId"] for _, _, o in operations()]
    assert len(ids) == len(set(ids))
    for _, path, operation in operations():
        assert len(operation["tags"]) == 1
        described = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert described == set(re.findall(r"\{(\w+)\}", path))


def test_pages_for_people_are_left_out() -> None:
    """A route without an operation is served, not documented."""
    routes = [*routes_of(*(Handlers() for _ in range(5))), Route("GET", "/somewhere", lambda r: r, None)]
    assert "/somewhere" not in document(routes)["paths"]


EVIL = "<script>alert(1)</script>"


class Outward(HTMLParser):
    """Collects whatever a browser would load or follow, and the words."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("href", "src", "srcset", "action", "data") or name.startswith("on"):
                self.loads.append(f"{tag} {name}={value}")
            elif name == "id":
                self.ids.append(value or "")
        if tag in ("script", "iframe", "object", "embed", "link"):
            self.loads.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
async def page():
    return await Docs(the_document).page(make_mocked_request("GET", "/docs"))


async def test_the_page_loads_nothing(page) -> None:
    """No script, no asset; links stay on the page or go to the document; the policy forbids more."""
    seen = Outward()
    seen.feed(page.text)
    assert seen.loads == []
    assert "@import" not in page.text
    assert "url(" not in page.text
    assert all(link == "/openapi.json" or link.removeprefix("#") in seen.ids for link in seen.links)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


async def test_the_page_shows_everything(page) -> None:
    """Every operation, answer and code is on it, escaped."""
    seen = Outward()
    seen.feed(page.text)
    for method, path, operation in operations():
        assert f"{method.upper()} {path}" in seen.words
        assert operation["operationId"] in seen.ids
        for response in operation["responses"].values():
            assert response["description"].replace("`", "") in seen.words


async def test_markup_in_the_document_stays_text() -> None:
    """Whatever somebody writes into an operation cannot become part of the page."""
    made = the_document() | {"info": the_document()["info"] | {"summary": EVIL, "description": f"`{EVIL}`"}}
    page = await Docs(lambda: made).page(make_mocked_request("GET", "/docs"))
    assert "<script" not in page.text
    assert "<code>&lt;script&gt;" in page.text
