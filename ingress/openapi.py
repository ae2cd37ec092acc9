"""The OpenAPI 3.1 document: made from the routes, so that what is served and what is said are one thing.

A `Route` carries its operation as data (see `ingress.openapi_door`): whoever adds a route says there what it
takes and every answer it gives. Tests hold the document to the running door.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aiohttp.typedefs import Handler

from ingress.openapi_schemas import SCHEMAS, SECURITY
from ingress.problems import CONTENT_TYPE

Operation = Mapping[str, Any]

_ABOUT = """\
The door of c2s-leadstream. A webhook that is answered 200 is stored and will be processed as far as the
outside world allows. Every answer that is not a success is a problem document (RFC 9457) with a stable
`code`. Beside what each operation names, any request can be answered 400 `bad_request` (it is no HTTP),
404 `not_found`, 405 `method_not_allowed`, 429 `rate_limited` (where SOURCE_RATE_LIMIT is set),
503 `overloaded` (all connections are in use) or 500 `internal_error` (a fault of ours; try again)."""
_PHRASES = {
    400: "It cannot be read",
    401: "Nothing vouches for it",
    404: "There is no such thing",
    408: "The body came too slowly",
    413: "The body is too large",
    415: "The body is encoded",
    417: "An expectation other than 100-continue",
    422: "It says something that is not taken",
    429: "Too many at present",
    503: "It cannot be done at present",
}
_RETRIED = (429, 503)


@dataclass(frozen=True, slots=True)
class Route:
    """One address and method, with what the document says of it.

    Attributes:
        operation: OpenAPI's operation object; None for pages for people, which the document leaves out.
        takes_body: whether a body may be announced with ``Expect: 100-continue``.
    """

    method: str
    path: str
    handler: Handler
    operation: Operation | None
    takes_body: bool = False


def ref(name: str) -> dict[str, str]:
    """A schema by its name in `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def success(description: str, schema: Mapping[str, Any], content: str = "application/json") -> dict[str, Any]:
    """A response of a success."""
    return {"description": description, "content": {content: {"schema": dict(schema)}}}


def problems(codes: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """Responses that are problem documents, by status, each with all its codes."""
    return {str(status): _problem(status, names) for status, names in sorted(codes.items())}


def _problem(status: int, codes: Sequence[str]) -> dict[str, Any]:
    response = {
        "description": f"{_PHRASES[status]}: " + ", ".join(f"`{code}`" for code in codes),
        "content": {
            CONTENT_TYPE: {
                "schema": {
                    "allOf": [
                        ref("Problem"),
                        {"properties": {"status": {"const": status}, "code": {"enum": list(codes)}}},
                    ]
                }
            }
        },
    }
    # Whoever asks for an event that was just accepted may be a moment ahead of the record.
    if status in _RETRIED or "event_unknown" in codes:
        seconds = {"type": "string", "pattern": "^[0-9]+$"}
        response["headers"] = {"Retry-After": {"description": "seconds", "required": True, "schema": seconds}}
    return response


def query(
    name: str, description: str, schema: Mapping[str, Any], *, required: bool = False
) -> dict[str, Any]:
    """A query parameter."""
    return _parameter("query", name, description, schema, required=required)


def path(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the address."""
    return _parameter("path", name, description, schema, required=True)


def header(name: str, description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A header that may be sent."""
    return _parameter("header", name, description, schema, required=False)


def _parameter(
    where: str, name: str, description: str, schema: Mapping[str, Any], *, required: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": description,
        "required": required,
        "schema": dict(schema),
    }


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.operation is not None:
            paths.setdefault(route.path, {})[route.method.lower()] = dict(route.operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "c2s-leadstream",
            "version": version("c2s-leadstream"),
            "summary": "Takes the lead webhooks of Contact2Sale.",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": SECURITY},
    }
