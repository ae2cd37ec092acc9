"""Rates per lead and per source: token buckets in bounded memory, counted in this process alone.

A bucket is one number, the moment at which it would be full again (GCRA), so taking a token is one look and
one write. Keys live in two generations: what was not seen for a whole one is forgotten, and one ends when its
buckets would be full again anyway or when it holds ``most`` keys. So memory is bounded whatever is sent, and
forgetting can only ever favour a sender.

Several ingress processes each have buckets of their own: the fleet's limit is the limit times the processes.
That is enough to keep one lead from drowning the others, and costs no round trip.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic_ns

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ingress.problems import Refusal
from ops.settings.kinds import rate_burst, rate_interval_s

_SECOND_NS = 1_000_000_000
_MOST_KEYS = 10_000
_LONGEST_SOURCE = 64
_NETWORK_BITS = 64  # what one IPv6 customer has at least
# Probes and scrapes come from inside and must be answered while the door is stormed.
_UNLIMITED = frozenset({"/health", "/ready", "/metrics"})


@dataclass(slots=True)
class Buckets:
    """A token bucket for each key; ``600/minute`` holds 600 tokens and gains ten a second.

    Attributes:
        rate: a checked rate text; empty for no limit.
        most: keys per generation.
        clock: nanoseconds, steady; whole numbers, so that no rounding eats a token.
    """

    rate: str
    most: int = _MOST_KEYS
    clock: Callable[[], int] = monotonic_ns
    _interval_ns: int = field(init=False)
    _slack_ns: int = field(init=False)
    _young: dict[str, int] = field(init=False, default_factory=dict)
    _old: dict[str, int] = field(init=False, default_factory=dict)
    _turn_at: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._interval_ns = round(rate_interval_s(self.rate) * _SECOND_NS)
        self._slack_ns = self._interval_ns * (rate_burst(self.rate) - 1)

    def __len__(self) -> int:
        """Keys remembered."""
        return len(self._young) + len(self._old)

    def take(self, key: str) -> int:
        """Take a token: 0, or the whole seconds until there is one again."""
        if not self._interval_ns:
            return 0
        now = self.clock()
        if now >= self._turn_at or len(self._young) >= self.most:
            self._old, self._young = self._young, {}
            self._turn_at = now + self._slack_ns + self._interval_ns
        full_at = self._young.get(key) or self._old.get(key, now)
        full_at = max(full_at, now)
        wait_ns = full_at - now - self._slack_ns
        if wait_ns > 0:
            self._young[key] = full_at  # whoever goes on is not forgotten
            return ceil(wait_ns / _SECOND_NS)
        self._young[key] = full_at + self._interval_ns
        return 0

    def blocked(self, key: str) -> int:
        """Whole seconds until there is a token; 0 where there is one. None is taken."""
        full_at = self._young.get(key) or self._old.get(key, 0)
        wait_ns = full_at - self.clock() - self._slack_ns
        return ceil(wait_ns / _SECOND_NS) if wait_ns > 0 else 0


def rate_limited(wait_s: int, what: str, event: str = "webhook.rate_limited") -> Refusal:
    """429 with ``Retry-After``."""
    detail = f"More requests for one {what} than are taken; try again in {wait_s} s."
    return Refusal(429, "rate_limited", detail, event=event, headers={"Retry-After": str(wait_s)})


def source_of(request: web.Request, header: str) -> str:
    """Whom a request counts against: the peer's address, or the trusted proxy's word for it.

    An IPv6 address counts as its network, for its customer has them all. Kept in memory only, never logged:
    an address is personal data.

    Args:
        request: the request.
        header: the header that a proxy of ours sets, overwriting whatever the client sent; empty for none.
    """
    # A list (X-Forwarded-For) ends with what the nearest proxy added; all before it is the client's claim.
    given = request.headers.get(header, "").rpartition(",")[2].strip() if header else ""
    source = given[:_LONGEST_SOURCE] or request.remote or ""
    if ":" not in source:
        return source
    try:
        address = ip_address(source)
    except ValueError:
        return source
    return f"{int(address) >> _NETWORK_BITS:x}" if isinstance(address, IPv6Address) else source


def source_limit(rate: str, header: str) -> Middleware:
    """The middleware that holds every source to a rate, whatever it asks for (but probes and metrics)."""
    buckets = Buckets(rate)

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _UNLIMITED and (wait_s := buckets.take(source_of(request, header))):
            refusal = rate_limited(wait_s, "source", event="source.rate_limited")
            refusal.close = not request.content.is_eof()
            raise refusal
        return await handler(request)

    return limited
