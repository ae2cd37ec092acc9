"""What the CLI does, noted in operator_actions before it is done; and what could not be noted, said aloud."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from ops.audit import Action, Audit
from ops.cli.revealing import operator
from ops.postgres import create_pool
from ops.settings import Settings
from schema.errors import StorageUnavailable


@dataclass(slots=True)
class Act:
    """An act of whoever types.

    Attributes:
        unnoted: why there is no note of it; empty where there is one.
        affected: how many it concerned so far.
    """

    unnoted: str = ""
    affected: int = 0


@asynccontextmanager
async def noting(settings: Settings, action: Action, target: str, reason: str) -> AsyncIterator[Act]:
    """Note an act, and after it how many it concerned.

    Raises:
        StorageUnavailable: Postgres went away meanwhile; the act is noted, not how many it concerned.
    """
    pool = await create_pool(settings, min_size=0, max_size=1, application_name="c2s-cli")
    act, noted = Act(), 0
    try:
        audit = Audit(pool)
        try:
            noted = await audit.note(operator(), action, target, reason)
        except (StorageUnavailable, asyncpg.PostgresError) as error:
            act.unnoted = str(error)
        try:
            yield act
        finally:
            if noted:
                await audit.done(noted, act.affected)
    finally:
        await pool.close()
