"""Redis from a plain thread: for a scrape, or to find out which servers REDIS_URL means."""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from ops.redis_place import Address, RedisPlace, place_of


def plain_client(url: str, *, timeout_s: float) -> Any:
    """A client of whatever REDIS_URL names; a cluster's is connected at once, the others when first asked.

    Raises:
        RedisError: a cluster cannot be reached; also a `RedisClusterException`.
    """
    place = place_of(url)
    times = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    if place.kind == "one":
        return redis.Redis.from_url(url, **times)
    parsed: Any = parse_url
    options: dict[str, Any] = {**parsed(place.node_url(*place.seeds[0])), **times}
    for name in ("host", "port"):
        options.pop(name)
    secure = options.pop("connection_class", None) is not None
    if place.kind == "cluster":
        options.pop("db", None)
        node: Any = ClusterNode
        nodes = [node(host, port) for host, port in place.seeds]
        return RedisCluster(startup_nodes=nodes, ssl=secure, retry=Retry(NoBackoff(), 0), **options)
    sentinel = _sentinel(place, timeout_s)
    return sentinel.master_for(place.master, ssl=secure, **options)


def memory_infos(client: Any) -> list[dict[str, Any]]:
    """INFO memory of each server that holds something."""
    if isinstance(client, RedisCluster):
        infos: dict[str, dict[str, Any]] = client.info("memory", target_nodes=RedisCluster.PRIMARIES)
        return list(infos.values()) if "used_memory" not in infos else [infos]
    return [client.info("memory")]


def servers_of(url: str, *, timeout_s: float) -> list[Address]:
    """Every server that the URL means at present: nodes of a cluster, Sentinels and their master.

    Raises:
        RedisError: they cannot be asked; also a `RedisClusterException`.
    """
    place = place_of(url)
    if place.kind == "cluster":
        client = plain_client(url, timeout_s=timeout_s)
        try:
            return [*place.seeds, *((node.host, node.port) for node in client.get_nodes())]
        finally:
            client.close()
    if place.kind == "sentinel":
        return [*place.seeds, _sentinel(place, timeout_s).discover_master(place.master)]
    return []


def _sentinel(place: RedisPlace, timeout_s: float) -> Any:
    made: Any = Sentinel
    of_sentinel = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        **dict(place.of_sentinel),
    }
    return made(list(place.seeds), sentinel_kwargs=of_sentinel)
