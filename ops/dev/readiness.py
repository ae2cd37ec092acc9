"""When the services of `c2s up` are ready: those with a door by asking, the others by their first words."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
import orjson

from ops.dev.errors import DevServerError

_DEADLINE_S = 60.0
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
        self._heard = {name: asyncio.Event() for name in first_words}

    def heard(self, name: str, line: str) -> None:
        """A line of a service's output."""
        words = self._first_words.get(name)
        if words is not None and words in line:
            self._heard[name].set()

    async def wait(self, deadline_s: float = _DEADLINE_S) -> None:
        """Return once all are ready.

        Raises:
            DevServerError: some are not after the deadline; the text names them.
        """
        waiting = set(self._probes) | set(self._heard)

        async def one(name: str) -> None:
            if name in self._probes:
                await _answers(self._probes[name])
            else:
                await self._heard[name].wait()
            waiting.discard(name)

        try:
            async with asyncio.timeout(deadline_s), asyncio.TaskGroup() as group:
                for name in tuple(waiting):
                    group.create_task(one(name))
        except TimeoutError:
            raise DevServerError(
                f"not ready after {deadline_s:g} s: {', '.join(sorted(waiting))}; see their logs"
            ) from None


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
