"""Reading ahead: both streams of a partition side by side in time; a batch is of so many rows or bytes.

Where more is waiting than one reply brings, the webhooks would soon be hours ahead of what became of them,
and every row be written once for each of its facts. So a batch ends at a moment: what is later waits here
until the other stream has been read that far.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.redis import Client, translated
from ops.redis_streams import StreamReads
from projections.batch import Fact, Position
from projections.checkpoint import START
from projections.decoding import Entry, facts_of
from schema.keys import Keys

_LEAST = 10  # entries of a stream in the first read: nobody knows yet how large they are
_MOST_BYTES = 1_000_000  # of last fields (payloads) in one reply of a stream: some replies are held at a time
_LONG_S = 0.5  # a batch that takes longer is too large for this Postgres
_FOR_EVER = float("inf")


@dataclass(slots=True)
class _Lane:
    """One stream.

    Attributes:
        mark: the last entry read.
        full: the last reply was as long as asked for, so more is waiting.
        ahead: read, and not given out yet.
    """

    position: Position
    mark: str = START
    full: bool = False
    ahead: list[Entry] = field(default_factory=list)

    def until(self, count: int) -> float:
        """Up to which moment all that this stream has is here, as far as ``count`` entries go."""
        if len(self.ahead) > count:
            return _ms(self.ahead[count - 1])
        if not self.full:
            return _FOR_EVER
        return _ms(self.ahead[-1]) if self.ahead else -1

    def take(self, count: int, until: float) -> list[Entry]:
        number = min(count, bisect_right(self.ahead, until, key=_ms))
        taken, self.ahead = self.ahead[:number], self.ahead[number:]
        return taken


def _ms(entry: Entry) -> int:
    return int(entry[0].partition(b"-")[0])


Taken = list[tuple[Position, list[Entry]]]


def decoded(taken: Taken) -> list[Fact]:
    """The facts of a batch."""
    return [fact for (partition, stream), entries in taken for fact in facts_of(partition, stream, entries)]


class ReadAhead:
    """The entries behind the checkpoints, batch by batch."""

    def __init__(self, client: Client, *, partitions: int, batch: int) -> None:
        """Set up.

        Args:
            client: to Redis, for blocking reads.
            partitions: how many.
            batch: most entries in a batch (but one of each stream at least).
        """
        self._reads = StreamReads(client)
        self._lanes: dict[str, _Lane] = {}
        for partition in range(partitions):
            keys = Keys(partition)
            self._lanes[keys.webhooks] = _Lane((partition, "webhooks"))
            self._lanes[keys.outcomes] = _Lane((partition, "outcomes"))
        self._most = max(1, batch // len(self._lanes))
        self._count = min(_LEAST, self._most)
        self._small = True

    def start(self, at: Mapping[Position, str]) -> None:
        """Begin behind these checkpoints; what was read before is forgotten."""
        self._lanes = {
            name: _Lane(lane.position, at.get(lane.position, START)) for name, lane in self._lanes.items()
        }

    @property
    def more(self) -> bool:
        """Whether something is known to be there beyond what was taken."""
        return any(lane.full or lane.ahead for lane in self._lanes.values())

    async def fill(self, block_s: float) -> None:
        """Read what the next batch lacks, waiting up to ``block_s`` only where nothing is known to be there.

        Raises:
            StorageUnavailable: Redis is away; nothing was changed.
        """
        short = {n: lane.mark for n, lane in self._lanes.items() if 2 * len(lane.ahead) < self._count}
        if not short:
            return
        count = self._count
        with translated("reading the streams"):
            found = dict(await self._reads.read(short, count=count, block_s=0 if self.more else block_s))
        largest = 0
        for name in short:
            lane, rows = self._lanes[name], found.get(name, ())
            lane.full = len(rows) >= count
            if rows:
                lane.ahead += rows
                lane.mark = rows[-1][0].decode()
                largest = max(largest, sum([len(items[-1]) for _, items in rows]))
        if largest > _MOST_BYTES:
            self._fewer()
        self._small = largest < _MOST_BYTES // 2

    def took(self, seconds: float) -> None:
        """Learn how long the last batch took to be written; the next ones are read accordingly."""
        if seconds > _LONG_S:
            self._fewer()
        elif self._small and any(lane.full for lane in self._lanes.values()):
            self._count = min(self._most, self._count * 2)

    def _fewer(self) -> None:
        self._count = max(min(_LEAST, self._most), self._count // 2)

    def take(self) -> Taken:
        """The next batch: of each partition up to a moment that both its streams have been read to."""
        taken: Taken = []
        lanes = list(self._lanes.values())
        for pair in zip(lanes[::2], lanes[1::2], strict=True):
            until = min(lane.until(self._count) for lane in pair)
            taken += [(lane.position, lane.take(self._count, until)) for lane in pair]
        return taken

    async def close(self) -> None:
        """End what is still being read."""
        await self._reads.close()
