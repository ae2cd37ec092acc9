"""Runs the real Lua scripts (`schema/lua`) on the store model, as Redis would: in Lua 5.1, undisturbed."""

import math
from functools import cache
from typing import Any

from lupa import lua51

from simulation.redis_model import RedisModel, Reply


class Scripts:
    """One Lua state; every script is compiled once."""

    def __init__(self) -> None:
        self._lua = lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._compiled: dict[bytes, Any] = {}
        self._globals = self._lua.globals()
        self._model: RedisModel | None = None
        # A script's `redis.call` is this one function; which model it talks to is set for each run.
        self._globals[b"redis"] = self._lua.table_from({b"call": self._call, b"pcall": self._call})

    def run(self, model: RedisModel, source: bytes, keys: list[bytes], args: list[bytes]) -> Reply:
        """The reply of one script; the signature is what `RedisModel` asks for."""
        compiled = self._compiled.get(source)
        if compiled is None:
            compiled = self._compiled[source] = self._lua.compile(source)
        self._model = model
        self._globals[b"KEYS"] = self._lua.table_from(keys)
        self._globals[b"ARGV"] = self._lua.table_from(args)
        return _reply(compiled())

    def _call(self, *args: Any) -> Any:
        assert self._model is not None
        return self._lua_of(self._model.execute(*args))

    def _lua_of(self, value: Reply) -> Any:
        if value is None:
            return False
        if isinstance(value, list):
            return self._lua.table_from([self._lua_of(item) for item in value])
        return value


def _reply(value: Any) -> Reply:
    """A Lua value as Redis answers it: numbers cut to integers, a table up to its first nil."""
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, int | float):
        return math.trunc(value)
    if isinstance(value, bytes):
        return value
    items = []
    while (item := value[len(items) + 1]) is not None:
        items.append(_reply(item))
    return items


@cache
def scripts() -> Scripts:
    """The scripts of this process: compiling is most of their cost."""
    return Scripts()
