"""A word to the team's channel when a lead is closed: Slack-compatible, without personal data.

It never harms the pipeline: a few short tries, then it is logged and left. A crash right after may repeat it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import structlog

log = structlog.get_logger()

_PAUSES_S = (0.3, 1.0)
_TIMEOUT_S = 3.0
_REFUSED = 400

Notify = Callable[[str], Awaitable[None]]


async def no_notice(_text: str) -> None:
    """NOTIFY_URL is not set."""


class Notifier:
    """Posts short texts to one URL."""

    def __init__(self, url: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._url = url
        self._sleep = sleep

    async def __call__(self, text: str) -> None:
        """Post a text; returns whatever comes of it."""
        why = ""
        for pause_s in (*_PAUSES_S, 0.0):
            why = await self._try(text)
            if not why:
                return
            await self._sleep(pause_s)
        log.warning("notify.failed", why=why)

    async def _try(self, text: str) -> str:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, json={"text": text}, allow_redirects=False) as answer,
            ):
                return f"answered {answer.status}" if answer.status >= _REFUSED else ""
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__


def closed(lead_id: str) -> str:
    """What is said of a closed lead."""
    return f"Lead {lead_id} encerrado no C2S."
