"""Trim: after commits, the active projector takes from the streams what is archived and needed no more.

Counted in entries projected, so an idle system is never asked. What may go is decided by the script
(`schema/lua/trim.lua`) from the checkpoint that was committed and from every consumer group's own state.
"""

from collections.abc import Callable, Mapping

import structlog
from redis.exceptions import ResponseError

from ops.redis import Client, run
from ops.settings import Settings
from projections.batch import Position
from schema.keys import Keys
from schema.trimming import read_trim, trim

log = structlog.get_logger()

EVERY = 1_000
_DAY_MS = 86_400_000


class Trimmer:
    """Counts what is projected, and trims every partition's streams every so often."""

    def __init__(
        self, client: Client, settings: Settings, now_s: Callable[[], float], *, every: int = EVERY
    ) -> None:
        """Prepare.

        Args:
            client: Redis; free whenever `projected` is called.
            settings: TRIM_KEEP, RETENTION_DAYS and the number of partitions.
            now_s: the present epoch time, for the age of dead letters.
            every: entries projected between two rounds.
        """
        self._client = client
        self._settings = settings
        self._now_s = now_s
        self._every = every
        self._since = every  # the one before may have died short of its round: the first entries bring one
        self._refused = False

    async def projected(self, number: int, checkpoints: Mapping[Position, str]) -> None:
        """Take note of entries projected; trim if it is time.

        Args:
            number: of entries.
            checkpoints: as they were committed.

        Raises:
            StorageUnavailable: Redis is away; the next round makes up for it.
        """
        self._since += number
        if not number or self._since < self._every or not self._settings.trim_keep:
            return
        self._since = 0
        days = self._settings.retention_days
        before = max(0, round(self._now_s() * 1000) - days * _DAY_MS) if days else None
        for partition in range(self._settings.partitions.served):
            call = trim(
                Keys(partition),
                keep=self._settings.trim_keep,
                webhooks=checkpoints.get((partition, "webhooks"), ""),
                outcomes=checkpoints.get((partition, "outcomes"), ""),
                dead_before_ms=before,
            )
            try:
                taken = read_trim(await run(self._client, call))
            except ResponseError as error:
                # Streams that grow are for an operator to see, not a reason to stop the record.
                if not self._refused:
                    log.warning("streams.trim_refused", error=str(error)[:200])
                self._refused = True
                return
            self._refused = False
            log.debug(
                "streams.trimmed", partition=partition, webhooks=taken.webhooks, outcomes=taken.outcomes
            )
