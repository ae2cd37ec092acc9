"""redis-py's own client over the store model: its commands and reply parsers, without a connection."""

from collections.abc import Awaitable, Callable
from typing import Any, Self

import redis.asyncio as aioredis
from redis.exceptions import NoScriptError

from simulation.redis_model import RedisModel, Reply

Send = Callable[..., Awaitable[Reply]]


class ModelClient(aioredis.Redis):
    """Every command goes to ``send``, the way to the server: at once, or over a network that fails."""

    def __init__(self, send: Send) -> None:
        super().__init__(protocol=2, driver_info=None)
        self._send = send

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """The parsed reply of one command."""
        reply = await self._send(*args)
        for name in ("keys", "NEVER_DECODE", "EMPTY_RESPONSE"):
            options.pop(name, None)
        parse = self.response_callbacks.get(args[0])
        return parse(reply, **options) if parse else reply

    def pipeline(self, *_: Any, **__: Any) -> "Pipeline":
        """Commands that are sent one after another."""
        return Pipeline(self)

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        """EVALSHA of a server that has not seen the script: `ops.redis.run` then sends its text."""
        raise NoScriptError(sha)


class Pipeline:
    """What `ops.append` needs of one."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self._keys: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held."""

    def exists(self, key: str) -> None:
        self._keys.append(key)

    async def execute(self) -> list[Any]:
        return [await self._client.exists(key) for key in self._keys]


def direct(model: RedisModel) -> ModelClient:
    """A client without a network in between."""

    async def send(*args: Any) -> Reply:
        return model.execute(*args)

    return ModelClient(send)
