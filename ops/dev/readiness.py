"""When the services of `c2s up` are ready: those with a door by asking, the others by their first words."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import orjson

from ops.dev.errors import DevServerError

_DEADLINE_S = 60.0
_MOST_DEATHS = 4
_POLL_S = 0.1
_ASK_TIMEOUT = aiohttp.ClientTimeout(total=5)
_OK = 200


class Readiness:
    """Gathers who is ready.

    Args:
        probes: URLs that answer 200 once a service is ready, by its name.
        first_words: what a service logs once it is ready, by its name.
    """

    def __init__(self, probes: Mapping[str, str], first_words: Mapping[str, str]) -> None:
        self._probes = dict(probes)
        self._first_words = dict(first_words)
        self._deaths: Counter[str] = Counter()
        self._last_words: dict[str, str] = {}
        self._hopeless = asyncio.Event()
        self._heard = {name: asyncio.Event() for name in first_words}

    def heard(self, name: str, line: str) -> None:
        """A line of a service's output."""
        if line.strip():
            self._last_words[name] = line
        words = self._first_words.get(name)
        if words is not None and words in line:
            self._heard[name].set()

    def died(self, name: str) -> None:
        """A service ended before all were ready; it is started again, but not for ever."""
        self._deaths[name] += 1
        if self._deaths[name] >= _MOST_DEATHS:
            self._hopeless.set()

    async def wait(self, deadline_s: float = _DEADLINE_S) -> None:
        """Return once all are ready.

        Raises:
            DevServerError: some are not after the deadline, or one keeps ending; the text names them.
        """
        waiting = {name: asyncio.create_task(self._one(name)) for name in (*self._probes, *self._heard)}
        hopeless = asyncio.create_task(self._hopeless.wait())
        everybody = asyncio.gather(*waiting.values())
        try:
            either: set[asyncio.Future[Any]] = {everybody, hopeless}
            await asyncio.wait(either, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
            if everybody.done():
                everybody.result()
                return
            if hopeless.done():
                name, deaths = self._deaths.most_common(1)[0]
                words = self._last_words.get(name, "none")
                raise DevServerError(f"{name} ended {deaths} times while starting, its last words: {words}")
            late = sorted(name for name, task in waiting.items() if not task.done())
            raise DevServerError(f"not ready after {deadline_s:g} s: {', '.join(late)}")
        finally:
            hopeless.cancel()
            everybody.cancel()
            await asyncio.gather(everybody, hopeless, return_exceptions=True)

    async def _one(self, name: str) -> None:
        if name in self._probes:
            await _answers(self._probes[name])
        else:
            await self._heard[name].wait()


async def _answers(url: str) -> None:
    async with aiohttp.ClientSession(timeout=_ASK_TIMEOUT) as session:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as response:
                    if response.status == _OK:
                        return
            await asyncio.sleep(_POLL_S)


def error_in(line: str) -> str:
    """What a line of JSON log says if it reports an error, else an empty text."""
    if '"error"' not in line:
        return ""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(found, dict) or found.get("level") != "error":
        return ""
    return " ".join(str(found[name]) for name in ("event", "error") if found.get(name))
