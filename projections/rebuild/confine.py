"""A process that can reach Redis and Postgres and nothing else: enforced, not only intended.

The interpreter audits every `socket.connect`; the hook below refuses any other place, and no code of this
process can take it off again. It needs asyncio's own loop: uvloop connects without asking Python. Projectors
import no HTTP client either (import-linter's contracts in pyproject.toml).
"""

import socket
import sys
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from ops.redis_plain import servers_of
from schema.errors import LeadstreamError

_ASK_TIMEOUT_S = 5.0
_DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432}


class OutsideCallRefused(LeadstreamError):  # noqa: N818 -- a state of the world
    """Something tried to reach the world outside from a process that must not."""


def places_of(urls: Iterable[str]) -> set[tuple[str, int] | str]:
    """Every address that the URLs of Redis and Postgres may mean: host and port, or a Unix socket's path."""
    places: set[tuple[str, int] | str] = set()
    for url in urls:
        parts = urlsplit(url)
        if "+" in parts.scheme:  # a cluster or Sentinels: whoever they say is meant
            for host, port in servers_of(url, timeout_s=_ASK_TIMEOUT_S):
                places |= _found(host, port)
            continue
        named = [part.rpartition("@")[2] for part in parts.netloc.split(",")]  # Postgres takes several
        for host, port in _addresses([*named, *parse_qs(parts.query).get("host", [])], parts.scheme):
            if host.startswith("/"):
                places.add(f"{host}/.s.PGSQL.{port}")
            elif parts.scheme == "unix":
                places.add(parts.path)
            elif host:
                places |= _found(host, port)
    return places


def _found(host: str, port: int) -> set[tuple[str, int] | str]:
    return {(str(info[4][0]), port) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}


def _addresses(named: Iterable[str], scheme: str) -> Iterator[tuple[str, int]]:
    for name in named:
        if unquote(name).startswith("/"):
            yield unquote(name.partition(":")[0]), _DEFAULT_PORTS["postgres"]
            continue
        parts = urlsplit(f"//{name}")
        yield parts.hostname or "", parts.port or _DEFAULT_PORTS.get(scheme, 0)


def confine(urls: Iterable[str]) -> None:
    """Refuse, from now on and for good, every connection that does not go to one of the URLs' servers.

    Raises:
        OSError: a host of the URLs has no address.
    """
    places = places_of(urls)

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            place = (address[0], address[1]) if isinstance(address, tuple) else address
            if place not in places:
                raise OutsideCallRefused("a rebuild may talk to Redis and Postgres only")

    sys.addaudithook(refuse)
