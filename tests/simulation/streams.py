"""Streams and consumer groups of the store model, as Redis 6.2 has them."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

Id = tuple[int, int]
LAST: Id = (2**63, 2**63)


def parse_id(text: bytes, *, seq: int = 0) -> Id:
    """A stream id; a missing sequence is ``seq``."""
    if text == b"-":
        return (0, 0)
    if text == b"+":
        return LAST
    ms, _, rest = text.partition(b"-")
    return int(ms), int(rest) if rest else seq


def bounds(low: bytes, high: bytes) -> tuple[Id, Id]:
    """An inclusive range; ``(`` in front of the lower end leaves that one out."""
    if low.startswith(b"("):
        ms, seq = parse_id(low[1:])
        return (ms, seq + 1), parse_id(high, seq=LAST[1])
    return parse_id(low), parse_id(high, seq=LAST[1])


def text_of(entry_id: Id) -> bytes:
    return b"%d-%d" % entry_id


@dataclass(slots=True)
class Pending:
    """One line of the pending entries list."""

    consumer: bytes
    since_ms: int
    count: int = 1


@dataclass(slots=True)
class Group:
    last: Id
    pending: dict[Id, Pending] = field(default_factory=dict)
    consumers: dict[bytes, int] = field(default_factory=dict)  # name -> last seen (ms)


@dataclass(slots=True)
class Stream:
    """Entries in order, and what each group has of them."""

    ids: list[Id] = field(default_factory=list)
    bodies: dict[Id, list[bytes]] = field(default_factory=dict)
    last: Id = (0, 0)
    groups: dict[bytes, Group] = field(default_factory=dict)

    def add(self, now_ms: int, body: list[bytes]) -> Id:
        ms, seq = self.last
        self.last = (now_ms, 0) if now_ms > ms else (ms, seq + 1)
        self.ids.append(self.last)
        self.bodies[self.last] = body
        return self.last

    def delete(self, entry_id: Id) -> bool:
        if self.bodies.pop(entry_id, None) is None:
            return False
        self.ids.remove(entry_id)
        return True

    def between(self, low: Id, high: Id) -> list[Id]:
        return self.ids[bisect_left(self.ids, low) : bisect_right(self.ids, high)]

    def after(self, low: Id) -> list[Id]:
        return self.ids[bisect_right(self.ids, low) :]

    def row(self, entry_id: Id) -> list:
        return [text_of(entry_id), self.bodies[entry_id]]

    def group(self, name: bytes) -> Group:
        try:
            return self.groups[name]
        except KeyError:
            raise ResponseError(f"NOGROUP No such consumer group '{name.decode()}'") from None

    def read_group(self, name: bytes, consumer: bytes, count: int, now_ms: int) -> list:
        """New entries for a consumer, which are pending from then on."""
        group = self.group(name)
        group.consumers[consumer] = now_ms
        rows = []
        for entry_id in self.after(group.last)[:count]:
            group.last = entry_id
            group.pending[entry_id] = Pending(consumer, now_ms)
            rows.append(self.row(entry_id))
        return rows

    def claim(self, name: bytes, consumer: bytes, entry_id: Id, now_ms: int) -> bool:
        """XCLAIM … 0 id JUSTID: the entry changes hands, its idle time starts anew."""
        group = self.group(name)
        group.consumers[consumer] = now_ms
        line = group.pending.get(entry_id)
        if line is None:
            return False
        line.consumer, line.since_ms = consumer, now_ms
        return True

    def autoclaim(
        self, name: bytes, consumer: bytes, idle_ms: int, start: Id, count: int, now_ms: int
    ) -> tuple[Id, list[bytes]]:
        """XAUTOCLAIM JUSTID: the cursor and the ids claimed, at most ten times ``count`` scanned."""
        lines = sorted(self.group(name).pending)
        todo = lines[bisect_left(lines, start) :]
        claimed: list[bytes] = []
        for scanned, entry_id in enumerate(todo):
            if len(claimed) == count or scanned == 10 * count:
                return entry_id, claimed
            if now_ms - self.group(name).pending[entry_id].since_ms >= idle_ms:
                self.claim(name, consumer, entry_id, now_ms)
                claimed.append(text_of(entry_id))
        return (0, 0), claimed


class SortedSet:
    """Members by score, then by name."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self.scores)

    def add(self, member: bytes, score: float) -> bool:
        fresh = not self.remove(member)
        self.scores[member] = score
        insort(self.order, (score, member))
        return fresh

    def remove(self, member: bytes) -> bool:
        score = self.scores.pop(member, None)
        if score is None:
            return False
        self.order.remove((score, member))
        return True


def group_info(name: bytes, group: Group) -> list:
    consumers, pending = len(group.consumers), len(group.pending)
    return [
        b"name", name, b"consumers", consumers, b"pending", pending,
        b"last-delivered-id", text_of(group.last),
    ]  # fmt: skip
