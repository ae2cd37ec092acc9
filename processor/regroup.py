"""Regroup: stream and group made anew where they are gone; nothing is skipped, little is read again.

Whoever finds them gone looks in Postgres for where reading must begin, makes the group, and (only the one who
made it) puts back the unfinished events whose entries went with the stream. Entries that may have been worked
off before are marked (`Keys.regrouped`): for them the lead is read before anything is sent.

With Postgres away reading begins at the start of the stream; what the stream has lost comes back only with
`c2s recover`. The same goes if this process dies between making the group and putting the events back.
"""

from dataclasses import dataclass

import structlog

from ops.recover import Recovery
from processor.store import LeadStore
from schema.errors import StorageUnavailable

log = structlog.get_logger()

_BEGINNING = "0"


@dataclass(frozen=True, slots=True)
class Regroup:
    """Mends one partition."""

    store: LeadStore
    recovery: Recovery
    partition: int

    async def __call__(self) -> bool:
        """Make what is missing; whether anything was.

        Raises:
            StorageUnavailable: Redis is away.
        """
        if await self.store.has_group():
            return False
        start = await self._start()
        if not await self.store.ensure_group(start):
            return False
        restored = await self._restore()
        if start == _BEGINNING and not restored:
            log.info("stream.created", partition=self.partition)
        else:
            log.warning("stream.recreated", partition=self.partition, after=start, restored=restored)
        return True

    async def _start(self) -> str:
        try:
            return await self.recovery.group_start(self.partition)
        except StorageUnavailable as error:
            log.warning("record.unavailable", error=str(error))
            return _BEGINNING

    async def _restore(self) -> int:
        try:
            return await self.recovery.restore_partition(self.partition)
        except StorageUnavailable as error:
            log.error("stream.not_restored", advice="run `c2s recover`", error=str(error))  # noqa: TRY400
            return 0
