"""The state of the whole fleet in Redis, read when (and only when) somebody scrapes the active projector.

A projector that stands by tells nothing of it, so each number has one source. A scrape costs two commands
for each partition and one for the memory, over a connection of its own, in the thread that serves it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from ops.redis_plain import memory_infos, plain_client
from projections.batch import Position, StreamName
from projections.checkpoint import START
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script
from schema.survey import read_survey, survey

_TIMEOUT_S = 2.0
_MOST_COUNTED = 1_000
_STATES = ("undelivered", "pending", "retrying", "parked")
_STREAMS: tuple[StreamName, StreamName] = ("webhooks", "outcomes")


class Fleet(Collector):
    """Gauges of what waits in Redis.

    Attributes:
        checkpoints: how far each stream is on record; None while this projector is not the active one.
    """

    def __init__(self, url: str, partitions: int) -> None:
        """Prepare; nothing is asked before a scrape."""
        self.checkpoints: Mapping[Position, str] | None = None
        self._partitions = partitions
        self._url = url
        self._client: Any = None

    def describe(self) -> Iterable[Metric]:
        """The families, without asking anybody."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """The families as they are now; where Redis is away, only that it is."""
        checkpoints = self.checkpoints
        if checkpoints is None:
            return []
        made = _families()
        try:
            self._fill(made, checkpoints)
        except (RedisError, RedisClusterException, OSError):
            made = {"up": _families()["up"]}
            made["up"].add_metric([], 0)
        return made.values()

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _fill(self, made: Mapping[str, GaugeMetricFamily], checkpoints: Mapping[Position, str]) -> None:
        if self._client is None:
            self._client = plain_client(self._url, timeout_s=_TIMEOUT_S)
        depths = dict.fromkeys(_STATES, 0)
        oldest_s, lag_s, dead = 0.0, 0.0, 0
        for partition in range(self._partitions):
            keys = Keys(partition)
            at = [checkpoints.get((partition, stream), START) for stream in _STREAMS]
            seen = read_survey(self._run(survey(keys, *at)))
            names = [keys.webhooks, keys.retries, keys.parked]
            counts = self._run(ScriptCall(script("depth"), names, [GROUP, str(_MOST_COUNTED)]))
            for state, count in zip(_STATES, counts, strict=True):
                depths[state] += count
            oldest_s, lag_s = max(oldest_s, seen.oldest_s or 0.0), max(lag_s, seen.lag_s or 0.0)
            dead += seen.dead
        memory = sum(info["used_memory"] for info in memory_infos(self._client))
        for state, count in depths.items():
            made["queue"].add_metric([state], count)
        made["oldest"].add_metric([], oldest_s)
        made["lag"].add_metric([], lag_s)
        made["dead"].add_metric([], dead)
        made["memory"].add_metric([], memory)
        made["up"].add_metric([], 1)

    def _run(self, call: ScriptCall) -> Any:
        try:
            return self._client.evalsha(call.script.sha1, len(call.keys), *call.keys, *call.args)
        except NoScriptError:
            return self._client.eval(call.script.source, len(call.keys), *call.keys, *call.args)


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "queue": GaugeMetricFamily("c2s_queue_entries", "Webhooks without an end", labels=["state"]),
        "oldest": GaugeMetricFamily("c2s_queue_oldest_seconds", "Age of the oldest of them"),
        "lag": GaugeMetricFamily("c2s_record_lag_seconds", "Age of the oldest entry that is not on record"),
        "dead": GaugeMetricFamily("c2s_dead_letters", "Dead letters"),
        "memory": GaugeMetricFamily("c2s_redis_memory_bytes", "Memory that Redis uses"),
        "up": GaugeMetricFamily("c2s_redis_up", "1 where Redis answered this scrape"),
    }
