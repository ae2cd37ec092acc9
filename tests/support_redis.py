"""Redis on several servers: a cluster of three, or a master with a replica and three Sentinels."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import redis

from ops.dev.ports import LOOPBACK, free_port
from ops.dev.redis_server import EmbeddedRedis, redis_binary
from ops.dev.server import EmbeddedServer
from ops.supervise.children import spawn

MASTER = "leads"
SLOTS = 16_384
_BUS, _LAST_PORT = 10_000, 32_767  # beyond it ports are given to outgoing connections
_NODE_TIMEOUT_MS = 4_000  # long enough for a node that is not scheduled for a while
_DOWN_AFTER_MS = 2_000


def ask(server: EmbeddedServer, *command: str | int) -> Any:
    """One command to one server."""
    with redis.Redis(host=LOOPBACK, port=server.port, decode_responses=True, socket_timeout=20) as client:
        return client.execute_command(*command)


async def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for what other processes do."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 -- other processes tell nobody
            await asyncio.sleep(0.1)


def started(stack: ExitStack, servers: Sequence[EmbeddedServer]) -> None:
    """All of them, side by side; stopped with the stack."""
    for server in servers:
        stack.callback(server.stop)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda server: server.start(), servers))


@dataclass
class Cluster:
    """Three nodes, each with a third of the slots."""

    nodes: list[EmbeddedRedis]

    @property
    def url(self) -> str:
        return f"redis+cluster://{LOOPBACK}:{self.nodes[0].port},{LOOPBACK}:{self.nodes[1].port}"

    def id_of(self, node: EmbeddedRedis) -> str:
        return str(ask(node, "CLUSTER", "MYID"))


def cluster_node(folder: Path) -> EmbeddedRedis:
    args = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_NODE_TIMEOUT_MS))
    return EmbeddedRedis(folder, _port_with_bus(), extra_args=args)


def _port_with_bus() -> int:
    """A free port whose like, 10,000 above, is free too: there the nodes talk to each other."""
    while True:
        port = free_port()
        if port + _BUS <= _LAST_PORT:
            with socket.socket() as bus, suppress(OSError):
                bus.bind((LOOPBACK, port + _BUS))
                return port


@asynccontextmanager
async def cluster(folder: Path, count: int = 3, *, replica: bool = False) -> AsyncIterator[Cluster]:
    """A cluster that answers; with ``replica`` the first node has one."""
    with ExitStack() as stack:
        nodes = [cluster_node(folder / f"node{n}") for n in range(count)]
        await asyncio.to_thread(started, stack, nodes)
        for n, node in enumerate(nodes):
            ask(node, "CLUSTER", "ADDSLOTS", *range(SLOTS * n // count, SLOTS * (n + 1) // count))
            ask(node, "CLUSTER", "MEET", LOOPBACK, nodes[0].port)
        await eventually(lambda: all(_is_whole(node, count) for node in nodes))
        if replica:
            await _replicate(stack, folder, nodes)
        yield Cluster(nodes)


async def _replicate(stack: ExitStack, folder: Path, nodes: Sequence[EmbeddedRedis]) -> None:
    made = cluster_node(folder / "replica")
    await asyncio.to_thread(started, stack, [made])
    ask(made, "CLUSTER", "MEET", LOOPBACK, nodes[0].port)
    await eventually(lambda: all(_is_whole(node, len(nodes) + 1) for node in (*nodes, made)))
    ask(made, "CLUSTER", "REPLICATE", ask(nodes[0], "CLUSTER", "MYID"))
    await eventually(lambda: ask(made, "INFO", "replication").get("master_link_status") == "up")


def _is_whole(node: EmbeddedRedis, count: int) -> bool:
    info = ask(node, "CLUSTER", "INFO")
    text = info if isinstance(info, str) else "\n".join(f"{k}:{v}" for k, v in info.items())
    return "cluster_state:ok" in text and f"cluster_known_nodes:{count}" in text


class Sentinel(EmbeddedServer):
    """A Sentinel that looks after a master."""

    name = "sentinel"

    def __init__(self, data_dir: Path, master_port: int, quorum: int = 2) -> None:
        super().__init__(data_dir)
        self._master_port = master_port
        self._quorum = quorum

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        """It rewrites its file, so each start has the one it left."""
        path = self.data_dir / "sentinel.conf"
        if not path.exists():
            path.write_text(
                f"port {self.port}\nbind {LOOPBACK}\ndir {self.data_dir}\n"
                f"sentinel monitor {MASTER} {LOOPBACK} {self._master_port} {self._quorum}\n"
                f"sentinel down-after-milliseconds {MASTER} {_DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {MASTER} 10000\n"
            )

    def _spawn(self, log: IO[bytes], alive_fd: int) -> subprocess.Popen[bytes]:
        argv = [redis_binary(), self.data_dir / "sentinel.conf", "--sentinel"]
        return spawn(argv, output=log, cwd=self.data_dir, pass_fds=(alive_fd,))

    def _is_ready(self, pid: int) -> bool:
        try:
            return int(ask(self, "INFO", "server")["process_id"]) == pid
        except (redis.RedisError, OSError):
            return False


@dataclass
class Watched:
    """A master, its replica and the Sentinels that look after them."""

    master: EmbeddedRedis
    replica: EmbeddedRedis
    sentinels: list[Sentinel]

    @property
    def url(self) -> str:
        named = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{named}/{MASTER}/0"

    async def fail_over(self) -> None:
        """Kill the master; returns once the replica is one."""
        self.master.kill()
        await eventually(lambda: ask(self.replica, "ROLE")[0] == "master")


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    """All of them, in agreement."""
    with ExitStack() as stack:
        pair = [EmbeddedRedis(folder / name) for name in ("master", "replica")]
        await asyncio.to_thread(started, stack, pair)
        master, replica = pair
        ask(replica, "REPLICAOF", LOOPBACK, master.port)
        await eventually(lambda: ask(replica, "INFO", "replication")["master_link_status"] == "up")
        sentinels = [Sentinel(folder / f"sentinel{n}", master.port) for n in range(3)]
        await asyncio.to_thread(started, stack, sentinels)
        await eventually(lambda: all(_is_ready(sentinel) for sentinel in sentinels))
        yield Watched(master, replica, sentinels)


def _is_ready(sentinel: Sentinel) -> bool:
    words = ask(sentinel, "SENTINEL", "MASTER", MASTER)
    state = words if isinstance(words, dict) else dict(zip(words[::2], words[1::2], strict=True))
    return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1


@asynccontextmanager
async def layout(kind: str, redis_url: str, folder: Path) -> AsyncIterator[str]:
    """URL of the one Redis, or of a cluster."""
    if kind == "one":
        yield redis_url
        return
    async with cluster(folder) as made:
        yield made.url
