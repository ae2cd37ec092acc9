"""Every key name in Redis, in one place.

``{p}`` is the partition in braces: a hash tag, so that all keys of a lead share a Redis Cluster slot
and one script may touch them together.
"""

from dataclasses import dataclass

GROUP = "processors"
OUTSIDE = "c2s:{outside}"  # one hash slot, so that one script asks for all that a call needs
_CACHE = f"{OUTSIDE}:cache:"


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one partition."""

    partition: int

    @property
    def prefix(self) -> str:
        return f"c2s:{{{self.partition}}}"

    @property
    def webhooks(self) -> str:
        """Stream: the log of accepted webhooks."""
        return f"{self.prefix}:webhooks"

    @property
    def outcomes(self) -> str:
        """Stream: facts since then."""
        return f"{self.prefix}:outcomes"

    @property
    def dead(self) -> str:
        """Stream: dead letters."""
        return f"{self.prefix}:dead"

    @property
    def forwards(self) -> str:
        """Stream: copies of webhooks on their way to Postgres, to be passed on to ``FORWARD_URL``."""
        return f"{self.prefix}:forwards"

    @property
    def retries(self) -> str:
        """Sorted set: entry ids by due time (epoch milliseconds)."""
        return f"{self.prefix}:retries"

    @property
    def parked(self) -> str:
        """Sorted set: entries of low priority that wait for a slot, by (priority, arrival)."""
        return f"{self.prefix}:parked"

    @property
    def fence(self) -> str:
        """String: the last fence given out in this partition."""
        return f"{self.prefix}:fence"

    @property
    def regrouped(self) -> str:
        """String: the stream's last entry when the group was made anew: up to it all may be read again."""
        return f"{self.prefix}:regrouped"

    @property
    def wake(self) -> str:
        """Pub/sub channel: says *there is work in flight* to instances that block on an empty stream."""
        return f"{self.prefix}:wake"

    @property
    def previous_secret(self) -> str:
        """String: when a webhook last came with a previous secret (epoch milliseconds); in partition 0."""
        return f"{self.prefix}:previous_secret"

    @property
    def erased(self) -> str:
        """Hash: tombstones of erased events, ``<lead>|<erasure>`` by event id."""
        return f"{self.prefix}:erased"

    def dedup(self, dedup_key: str) -> str:
        """String: the event id first accepted for a dedup key; ``|erased`` after it where it was erased."""
        return f"{self.prefix}:dedup:{dedup_key}"

    def lease(self, lead_id: str) -> str:
        """String: ``<instance>|<fence>`` of the lead's present owner (the seed's lock)."""
        return f"{self.prefix}:lead:processing:{lead_id}"

    def queue(self, lead_id: str) -> str:
        """Sorted set: the lead's waiting entries by stream id, oldest first."""
        return f"{self.prefix}:lead:queue:{lead_id}"

    def waiting(self, lead_id: str) -> str:
        """String: ``<partition>|<entry id>`` of the lead's entry in another place that waits for one here."""
        return f"{self.prefix}:lead:waiting:{lead_id}"

    def state(self, lead_id: str) -> str:
        """String: fingerprint of the contact that the lead's last processed event had."""
        return f"{self.prefix}:state:{lead_id}"

    def steps(self, event_id: str) -> str:
        """Hash: attempt count, finished steps, send intent of one event; the entry its replay made."""
        return f"{self.prefix}:steps:{event_id}"


@dataclass(frozen=True, slots=True)
class BudgetKeys:
    """The key names of one outside API's budget, in the hash slot of all that is shared about the outside."""

    api: str

    @property
    def budget(self) -> str:
        """Hash: when the fleet's next call is free, and the API's circuit breaker."""
        return f"{OUTSIDE}:budget:{self.api}"

    @property
    def row(self) -> str:
        """Sorted set: calls that wait, by priority and arrival."""
        return f"{self.budget}:row"

    @property
    def seen(self) -> str:
        """Hash: when each of them will ask again (epoch milliseconds)."""
        return f"{self.budget}:seen"

    @property
    def all(self) -> list[str]:
        return [self.budget, self.row, self.seen]


def cache_keys(name: str) -> list[str]:
    """Strings: a look-up's answer, sealed, and the lock of who fetches it; ``name`` is a keyed hash."""
    return [f"{_CACHE}{name}", f"{OUTSIDE}:lock:{name}"]


def cached_name(key: str) -> str:
    """The name under which an answer is kept."""
    return key.removeprefix(_CACHE)


CACHED = f"{_CACHE}*"  # pattern of the answers' keys, for a scan by an operator's command
