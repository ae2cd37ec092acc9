"""Holds every answer that a test gets from a door to what the OpenAPI document says of it."""

import re
from functools import cache
from typing import Any

import jsonschema

from ingress.openapi import document
from ingress.routes import routes_of

# What any request can be answered (see the document's description), and HEAD, which has no body to describe.
ANYWHERE = {(400, "bad_request"), (404, "not_found"), (405, "method_not_allowed"), (429, "rate_limited")}
ANYWHERE |= {(500, "internal_error")}


class Handlers:
    """Stands where the document needs handlers only to point at."""

    def __getattr__(self, name: str) -> Any:
        return name


@cache
def the_document() -> dict[str, Any]:
    return document(routes_of(*(Handlers() for _ in range(5))))  # type: ignore[arg-type]


@cache
def templates() -> list[tuple[re.Pattern[str], str]]:
    # Addresses without a variable part go first, as in the router.
    paths = sorted(the_document()["paths"], key=lambda p: "{" in p)
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", p)), p) for p in paths]


def documented(method: str, path: str, status: int, content: Any, content_type: str) -> None:
    """Fail where the document does not foresee this answer."""
    code = content.get("code") if isinstance(content, dict) else None
    if (status, code) in ANYWHERE:
        return
    bare = path.partition("?")[0]
    template = next((t for pattern, t in templates() if pattern.fullmatch(bare)), None)
    assert template, f"{method} {bare} is not in the document"
    operation = the_document()["paths"][template][method.lower()]
    response = operation["responses"].get(str(status))
    assert response, f"{method} {template} may not answer {status} {code}"
    media = response["content"].get(content_type.partition(";")[0])
    assert media, f"{method} {template} may not answer {status} as {content_type}"
    schema = media["schema"] | {"components": the_document()["components"]}
    jsonschema.Draft202012Validator(schema).validate(content)
