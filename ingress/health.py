"""Alive, ready, and the metrics. Ready means: a webhook can be stored somewhere."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from ingress.problems import Refusal, unavailable
from ingress.storing import Storage
from ops.metrics import CONTENT_TYPE, exposition
from ops.redis import Client, translated
from ops.spool import Spool
from schema.errors import StorageUnavailable

_FRESH_S = 1.0
_PROBE_S = 3.0


@dataclass(slots=True)
class Health:
    """Answers probes; what is found stands for a second, so many probes cost one look.

    Attributes:
        clock: seconds, steady.
    """

    storage: Storage
    redis: Client
    spool: Spool
    registry: CollectorRegistry
    clock: Callable[[], float]
    metrics_here: bool = True
    _found: str = ""
    _found_at: float = float("-inf")
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def health(self, _request: web.Request) -> web.Response:
        """``GET /health``: the process answers."""
        return web.Response(body=b'{"status":"ok"}', content_type="application/json")

    async def ready(self, _request: web.Request) -> web.Response:
        """``GET /ready``: 200 with where webhooks go now, or 503."""
        async with self._looking:
            if self.clock() - self._found_at > _FRESH_S:
                self._found = await self._look()
                self._found_at = self.clock()
        if not self._found:
            detail = "Neither Redis nor Postgres can store a webhook at present."
            raise unavailable(detail, "ready.refused")
        return web.Response(
            body=orjson.dumps({"status": "ready", "store": self._found}), content_type="application/json"
        )

    async def metrics(self, _request: web.Request) -> web.Response:
        """``GET /metrics``: Prometheus' text format; none on a port that several processes share."""
        if not self.metrics_here:
            detail = "Several processes share this port: each has its metrics on a METRICS_PORT of its own."
            raise Refusal(404, "not_found", detail, event="metrics.refused")
        return web.Response(body=exposition(self.registry), headers={"Content-Type": CONTENT_TYPE})

    async def _look(self) -> str:
        # While the spool is in use Redis may well answer a PING and still refuse to write.
        if not self.storage.spooling and await self._redis_answers():
            return "stream"
        if await self._spool_answers():
            return "spool"
        return "stream" if self.storage.spooling and await self._redis_answers() else ""

    async def _redis_answers(self) -> bool:
        try:
            with translated("asking whether it is there"):
                async with asyncio.timeout(_PROBE_S):
                    await self.redis.ping()
        except StorageUnavailable:
            return False
        return True

    async def _spool_answers(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_S):
                await self.spool.is_empty()
        except (StorageUnavailable, TimeoutError):
            return False
        return True
