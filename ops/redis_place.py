"""What REDIS_URL may say: one Redis, a Redis Cluster, or a master that Sentinels look after.

* ``redis://``, ``rediss://`` (TLS), ``unix://``: one server.
* ``redis+cluster://user:password@host:port,host:port``: some nodes of a cluster; the others are found.
* ``redis+sentinel://user:password@host:port,host:port/master-name/0?sentinel_password=…``: the Sentinels;
  user and password are the master's.

The last two also with ``rediss+…``. Everything else of the URL is handed to redis-py as it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

Address = tuple[str, int]
Kind = Literal["one", "cluster", "sentinel"]

SCHEMES = frozenset(
    {
        "redis",
        "rediss",
        "unix",
        "redis+cluster",
        "rediss+cluster",
        "redis+sentinel",
        "rediss+sentinel",
    }
)
_PORTS = {"cluster": 6379, "sentinel": 26379}
_OF_SENTINEL = "sentinel_"


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where Redis is.

    Attributes:
        kind: of the three.
        url: of one server; else a template of its nodes' (see `node_url`).
        seeds: nodes of the cluster, or the Sentinels.
        master: the name that the Sentinels know it by.
        of_sentinel: options of the connections to them (``username``, ``password``).
    """

    kind: Kind
    url: str
    seeds: Sequence[Address] = ()
    master: str = ""
    of_sentinel: tuple[tuple[str, str], ...] = ()

    def node_url(self, host: str, port: int) -> str:
        """The URL of one node, with the credentials and options of all."""
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        named = f"[{host}]" if ":" in host else host
        return urlunsplit(parts._replace(netloc=f"{user}{at}{named}:{port}"))


def place_of(url: str) -> RedisPlace:
    """What a REDIS_URL says.

    Raises:
        ValueError: it is malformed; the text tells how, without quoting it.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(
            "must begin with redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
        )
    base, _, kind = parts.scheme.partition("+")
    if not kind:
        return RedisPlace("one", url)
    user, at, hosts = parts.netloc.rpartition("@")
    seeds = tuple(_address(name, _PORTS[kind]) for name in hosts.split(","))
    options = parse_qsl(parts.query)
    plain = urlencode([(name, text) for name, text in options if not name.startswith(_OF_SENTINEL)])
    rest = parts._replace(scheme=base, netloc=f"{user}{at}x", query=plain)
    if kind == "cluster":
        if parts.path not in ("", "/", "/0"):
            raise ValueError("a Redis Cluster has no database but 0")
        return RedisPlace("cluster", urlunsplit(rest._replace(path="/0")), seeds)
    master, _, database = parts.path.strip("/").partition("/")
    if not master:
        raise ValueError("needs the master's name: redis+sentinel://host:port,host:port/NAME/0")
    ours = tuple(
        (name.removeprefix(_OF_SENTINEL), text) for name, text in options if name.startswith(_OF_SENTINEL)
    )
    return RedisPlace("sentinel", urlunsplit(rest._replace(path=f"/{database or 0}")), seeds, master, ours)


def _address(name: str, port: int) -> Address:
    parts = urlsplit(f"//{name}")
    try:
        found = parts.hostname, parts.port or port
    except ValueError:
        raise ValueError("a port is no number") from None
    if not found[0]:
        raise ValueError("a host is missing")
    return found[0], found[1]
