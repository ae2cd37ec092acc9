"""The active projector's watch: a check every so often, in a task of its own that never fails.

Redis is billed per command, so a quiet one is not asked the same again while nothing comes: the record is
still read each time, and the first entry projected, or `_QUIET_S`, ends the quiet. That Redis itself is away
the projector's own reads notice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from ops.alerts.check import check, heartbeat
from ops.alerts.readings import RedisReadings, is_quiet
from ops.redis import Client, command_client
from ops.settings import Settings
from ops.together import end_all
from schema.errors import LeadstreamError

log = structlog.get_logger()

_QUIET_S = 3 * 3600.0
_LONGEST_S = (
    120.0  # a check that takes longer is given up, so that one stuck connection does not end the watch
)


class Quiet:
    """What Redis said last, for as long as it can be taken as still true.

    Args:
        activity: changes whenever anything happened in the streams or to the connection with them.
        clock: monotonic seconds.
    """

    def __init__(self, activity: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._activity = activity
        self._clock = clock
        self._said: RedisReadings | None = None
        self._seen: object = None
        self._until = 0.0

    def known(self) -> RedisReadings | None:
        """What need not be asked again; None where it must."""
        still = self._activity() == self._seen and self._clock() < self._until
        return self._said if still else None

    def heard(self, said: RedisReadings | None, seen: object) -> None:
        """Take note of what Redis said; ``seen`` is the activity before it was asked."""
        self._said = said if said is not None and is_quiet(said) else None
        self._seen, self._until = seen, self._clock() + _QUIET_S

    def activity(self) -> object:
        return self._activity()


@asynccontextmanager
async def watching(settings: Settings, activity: Callable[[], object]) -> AsyncIterator[None]:
    """Check beside the block, with connections of our own; nothing that happens here reaches the block.

    Args:
        settings: of the system.
        activity: see `Quiet`.
    """
    if not settings.alert_every:
        yield
        return
    client = command_client(settings.redis_url.get_secret_value())
    task = asyncio.create_task(_watch(settings, client, Quiet(activity)))
    try:
        yield
    finally:
        await end_all({task})
        await client.aclose()


async def _watch(settings: Settings, client: Client, quiet: Quiet) -> None:
    while True:
        # Waits first: a projector that just took over is behind for a moment, and that is no trouble.
        await asyncio.sleep(settings.alert_every)
        try:
            async with asyncio.timeout(_LONGEST_S):
                await _check(settings, client, quiet)
        except (LeadstreamError, TimeoutError) as error:
            log.warning("alerts.unchecked", error=str(error), kind=type(error).__name__)
        except Exception as error:  # noqa: BLE001 -- projecting must go on whatever happens here
            log.error("alerts.broken", kind=type(error).__name__)  # noqa: TRY400 -- could quote an address


async def _check(settings: Settings, client: Client, quiet: Quiet) -> None:
    seen, known = quiet.activity(), quiet.known()
    checked = await check(settings, "projector", client=client, known=known)
    if known is None:
        quiet.heard(checked.redis, seen)
    await heartbeat(settings, checked)
