"""The fleet's budget of outside calls: one evenly spaced row of reservations per API, in Redis.

Every call of every instance reserves its moment and sleeps until it; nobody polls. A 429 pushes the row
back for all. With Redis away the call waits for it (`StorageUnavailable`): without the shared budget a
fleet would overrun it together.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ops.redis import Client, run
from ops.settings import Settings, rate_interval_s
from schema import calls

Sleep = Callable[[float], Awaitable[None]]


class Budgets:
    """Reservations for all outside APIs."""

    def __init__(self, client: Client, settings: Settings, sleep: Sleep = asyncio.sleep) -> None:
        self._client = client
        self._sleep = sleep
        self._intervals_s = {
            "c2s": rate_interval_s(settings.c2s_rate_limit),
            "diretrix": rate_interval_s(settings.diretrix_rate_limit),
            "work": rate_interval_s(settings.work_api_rate_limit),
        }

    async def acquire(self, api: str) -> None:
        """Wait for this call's turn.

        Raises:
            StorageUnavailable: Redis is away.
        """
        interval_s = self._intervals_s[api]
        if not interval_s:
            return
        wait_ms = int(await run(self._client, calls.budget(api, interval_s=interval_s)))
        if wait_ms > 0:
            await self._sleep(wait_ms / 1000)

    async def pause(self, api: str, seconds: float) -> None:
        """Hold back the whole fleet's calls to an API, after it answered 429."""
        await run(self._client, calls.budget(api, interval_s=self._intervals_s[api], pause_s=seconds))
