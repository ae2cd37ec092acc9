"""A model of Redis 6.2 in memory: the commands that our scripts and services use, on a clock handed in.

The scripts themselves are not modelled: `simulation.scripts` runs the real ones on top of this. It is held to
the real server by running the same contract suite (`tests/contract/test_protocol.py`).
"""

from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from simulation.streams import Group, Pending, SortedSet, Stream, bounds, group_info, parse_id, text_of

Reply = Any


class RedisModel:
    """Keys and commands; replies are those of RESP2."""

    def __init__(self, now_us: Callable[[], int], evaluate: Callable[..., Reply]) -> None:
        """Args: the server's clock (epoch microseconds); what runs EVAL and EVALSHA."""
        self._now_us = now_us
        self._evaluate = evaluate
        self.data: dict[bytes, Any] = {}
        self._expires_ms: dict[bytes, float] = {}
        self._commands: dict[bytes, Callable[..., Reply]] = {}
        self.published: list[tuple[bytes, bytes]] = []

    @property
    def now_ms(self) -> int:
        return self._now_us() // 1000

    def execute(self, *args: Any) -> Reply:
        """One command, as it came over the wire."""
        texts = [a if type(a) is bytes else _bytes(a) for a in args]
        name, *words = texts[0].split()
        command = self._commands.get(name)
        if command is None:
            command = getattr(self, "do_" + name.decode().lower(), None)
            if command is None:
                raise ResponseError(f"unknown command '{name.decode()}': the model lacks it")
            self._commands[name] = command
        return command(*words, *texts[1:])

    def get(self, key: bytes, kind: type) -> Any:
        """A key's value, or None; keys past their time are gone."""
        until = self._expires_ms.get(key)
        if until is not None and self._now_us() >= until * 1000:
            self.drop(key)
        value = self.data.get(key)
        if value is not None and not isinstance(value, kind):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def make(self, key: bytes, kind: type) -> Any:
        value = self.get(key, kind)
        if value is None:
            value = self.data[key] = kind()
        return value

    def drop(self, key: bytes) -> bool:
        self._expires_ms.pop(key, None)
        return self.data.pop(key, None) is not None

    def names(self) -> list[bytes]:
        return [key for key in list(self.data) if self.get(key, object) is not None]

    # -- strings and keys

    def do_time(self) -> Reply:
        us = self._now_us()
        return [b"%d" % (us // 1_000_000), b"%d" % (us % 1_000_000)]

    def do_get(self, key: bytes) -> Reply:
        return self.get(key, bytes)

    def do_mget(self, *keys: bytes) -> Reply:
        return [self.get(key, bytes) for key in keys]

    def do_set(self, key: bytes, value: bytes, *options: bytes) -> Reply:
        words = [o.upper() for o in options]
        if b"NX" in words and self.get(key, object) is not None:
            return None
        self.drop(key)
        self.data[key] = value
        for unit, factor in ((b"EX", 1000), (b"PX", 1)):
            if unit in words:
                self._expires_ms[key] = self.now_ms + factor * int(options[words.index(unit) + 1])
        return b"OK"

    def do_getdel(self, key: bytes) -> Reply:
        value = self.get(key, bytes)
        self.drop(key)
        return value

    def do_del(self, *keys: bytes) -> Reply:
        return sum(self.drop(key) for key in keys)

    def do_exists(self, *keys: bytes) -> Reply:
        return sum(self.get(key, object) is not None for key in keys)

    def do_pexpire(self, key: bytes, ms: bytes) -> Reply:
        if self.get(key, object) is None:
            return 0
        self._expires_ms[key] = self.now_ms + int(ms)
        return 1

    def do_expire(self, key: bytes, s: bytes) -> Reply:
        return self.do_pexpire(key, b"%d" % (int(s) * 1000))

    def do_pttl(self, key: bytes) -> Reply:
        if self.get(key, object) is None:
            return -2
        return int(self._expires_ms[key] - self.now_ms) if key in self._expires_ms else -1

    def do_publish(self, channel: bytes, message: bytes) -> Reply:
        self.published.append((channel, message))
        return 0

    # -- hashes

    def do_hset(self, key: bytes, *pairs: bytes) -> Reply:
        table = self.make(key, dict)
        before = len(table)
        table.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(table) - before

    def do_hget(self, key: bytes, field: bytes) -> Reply:
        return (self.get(key, dict) or {}).get(field)

    def do_hmget(self, key: bytes, *fields: bytes) -> Reply:
        return [(self.get(key, dict) or {}).get(field) for field in fields]

    def do_hgetall(self, key: bytes) -> Reply:
        return [text for pair in (self.get(key, dict) or {}).items() for text in pair]

    def do_hdel(self, key: bytes, *fields: bytes) -> Reply:
        table = self.get(key, dict) or {}
        gone = sum(table.pop(field, None) is not None for field in fields)
        if not table:
            self.drop(key)
        return gone

    def do_hincrby(self, key: bytes, field: bytes, by: bytes) -> Reply:
        table = self.make(key, dict)
        table[field] = b"%d" % (int(table.get(field, b"0")) + int(by))
        return int(table[field])

    # -- sorted sets

    def do_zadd(self, key: bytes, *rest: bytes) -> Reply:
        only_new, only_known = (rest[0].upper() == word for word in (b"NX", b"XX"))
        pairs = rest[1:] if only_new or only_known else rest
        if only_known and self.get(key, SortedSet) is None:
            return 0
        members = self.make(key, SortedSet)
        fresh = 0
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            if not (member in members.scores if only_new else only_known and member not in members.scores):
                fresh += members.add(member, float(score))
        return fresh

    def do_zrem(self, key: bytes, *members: bytes) -> Reply:
        held = self.get(key, SortedSet) or SortedSet()
        gone = sum(held.remove(member) for member in members)
        if not held:
            self.drop(key)
        return gone

    def do_zscore(self, key: bytes, member: bytes) -> Reply:
        score = (self.get(key, SortedSet) or SortedSet()).scores.get(member)
        return None if score is None else _number(score)

    def do_zmscore(self, key: bytes, *members: bytes) -> Reply:
        return [self.do_zscore(key, member) for member in members]

    def do_zcard(self, key: bytes) -> Reply:
        return len(self.get(key, SortedSet) or ())

    def do_zrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> Reply:
        order = (self.get(key, SortedSet) or SortedSet()).order
        end = int(last) + 1 or None
        found = order[int(first) : end]
        return [t for score, m in found for t in ((m, _number(score)) if options else (m,))]

    def do_zrangebyscore(self, key: bytes, low: bytes, high: bytes, *options: bytes) -> Reply:
        order = (self.get(key, SortedSet) or SortedSet()).order
        found = [member for score, member in order if float(low) <= score <= float(high)]
        skip, most = (int(options[1]), int(options[2])) if options else (0, len(found))
        return found[skip : skip + most]

    def do_zrevrange(self, key: bytes, first: bytes, last: bytes) -> Reply:
        order = (self.get(key, SortedSet) or SortedSet()).order[::-1]
        return [member for _, member in order[int(first) : int(last) + 1 or None]]

    def do_zpopmin(self, key: bytes, *count: bytes) -> Reply:
        pairs = self.do_zrange(key, b"0", b"%d" % (int(count[0] if count else 1) - 1), b"WITHSCORES")
        self.do_zrem(key, *pairs[::2])
        return pairs

    # -- streams

    def do_xadd(self, key: bytes, entry_id: bytes, *body: bytes) -> Reply:
        assert entry_id == b"*", "the model makes its own ids"
        added = self.make(key, Stream).add(self.now_ms, list(body))
        return text_of(added)

    def do_xlen(self, key: bytes) -> Reply:
        return len((self.get(key, Stream) or Stream()).ids)

    def do_xdel(self, key: bytes, *ids: bytes) -> Reply:
        stream = self.get(key, Stream) or Stream()
        return sum(stream.delete(parse_id(i)) for i in ids)

    def do_xrange(self, key: bytes, low: bytes, high: bytes, *options: bytes) -> Reply:
        stream = self.get(key, Stream) or Stream()
        most = int(options[1]) if options else None
        return [stream.row(i) for i in stream.between(*bounds(low, high))[:most]]

    def do_xrevrange(self, key: bytes, high: bytes, low: bytes, *options: bytes) -> Reply:
        rows = self.do_xrange(key, low, high)[::-1]
        return rows[: int(options[1])] if options else rows

    def do_xgroup(self, verb: bytes, key: bytes, name: bytes, *rest: bytes) -> Reply:
        if verb.upper() == b"CREATE":
            if self.get(key, Stream) is None and b"MKSTREAM" not in [r.upper() for r in rest]:
                raise ResponseError("ERR The XGROUP subcommand requires the key to exist")
            stream = self.make(key, Stream)
            if name in stream.groups:
                raise ResponseError("BUSYGROUP Consumer Group name already exists")
            stream.groups[name] = Group(stream.last if rest[0] == b"$" else parse_id(rest[0]))
            return b"OK"
        group = self._stream(key).group(name)
        mine = [i for i, line in group.pending.items() if line.consumer == rest[0]]
        for entry_id in mine:
            del group.pending[entry_id]
        group.consumers.pop(rest[0], None)
        return len(mine)

    def do_xinfo(self, verb: bytes, key: bytes, *name: bytes) -> Reply:
        stream = self.get(key, Stream)
        if stream is None:
            raise ResponseError("ERR no such key")
        if verb.upper() == b"GROUPS":
            return [group_info(n, g) for n, g in stream.groups.items()]
        group = stream.group(name[0])
        counts = {c: sum(p.consumer == c for p in group.pending.values()) for c in group.consumers}
        return [
            [b"name", c, b"pending", counts[c], b"idle", self.now_ms - seen]
            for c, seen in group.consumers.items()
        ]

    def do_xreadgroup(self, *args: bytes) -> Reply:
        name, consumer, key = args[1], args[2], args[-2]
        words = [a.upper() for a in args]
        count = int(args[words.index(b"COUNT") + 1])
        rows = self._stream(key).read_group(name, consumer, count, self.now_ms)
        return [[key, rows]] if rows else None

    def do_xack(self, key: bytes, name: bytes, *ids: bytes) -> Reply:
        pending = self._stream(key).group(name).pending
        return sum(pending.pop(parse_id(i), None) is not None for i in ids)

    def do_xclaim(self, key: bytes, name: bytes, consumer: bytes, idle: bytes, *ids: bytes) -> Reply:
        assert (idle, ids[-1]) == (b"0", b"JUSTID"), "the model knows XCLAIM ... 0 id JUSTID only"
        return [i for i in ids[:-1] if self._stream(key).claim(name, consumer, parse_id(i), self.now_ms)]

    def do_xautoclaim(self, key: bytes, name: bytes, consumer: bytes, *rest: bytes) -> Reply:
        idle, start, _count, most, just = rest
        assert just == b"JUSTID", "the model knows XAUTOCLAIM ... JUSTID only"
        cursor, claimed = self._stream(key).autoclaim(
            name, consumer, int(idle), parse_id(start), int(most), self.now_ms
        )
        return [text_of(cursor), claimed]

    def do_xpending(self, key: bytes, name: bytes, *span: bytes) -> Reply:
        pending = self._stream(key).group(name).pending
        ids = sorted(pending)
        if not span:
            owners = sorted({line.consumer for line in pending.values()})
            counts = [[o, b"%d" % sum(p.consumer == o for p in pending.values())] for o in owners]
            return [len(ids), text_of(ids[0]), text_of(ids[-1]), counts] if ids else [0, None, None, None]
        low, high = bounds(span[0], span[1])
        owner = span[3] if len(span) > 3 else None
        found = [i for i in ids if low <= i <= high and owner in (None, pending[i].consumer)]
        return [self._line(i, pending[i]) for i in found[: int(span[2])]]

    def _line(self, entry_id: tuple[int, int], line: Pending) -> list:
        return [text_of(entry_id), line.consumer, self.now_ms - line.since_ms, line.count]

    def _stream(self, key: bytes) -> Stream:
        stream = self.get(key, Stream)
        if stream is None:
            raise ResponseError(f"NOGROUP No such key '{key.decode()}'")
        return stream

    # -- scripts

    def do_eval(self, source: bytes, count: bytes, *rest: bytes) -> Reply:
        return self._evaluate(self, source, list(rest[: int(count)]), list(rest[int(count) :]))


def _number(score: float) -> bytes:
    return b"%.17g" % score


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return _number(value)
    return str(value).encode()
