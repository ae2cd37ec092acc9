"""What each partition still holds: when a change of their number is over, and clearing what is left of it.

A webhook whose lead has a new home is worked off where it is, so the change is over when no partition holds
an unfinished one of a lead that lives elsewhere, and those that go (a smaller number) nothing that somebody
needs: all is recorded, no dead letter and no copy for ``FORWARD_URL`` is left. See docs/scaling.md.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from redis.exceptions import ResponseError

from ops.findings import Finding
from ops.postgres import translated as postgres_translated
from ops.queries import query
from ops.redis import Client, translated
from ops.settings import Settings
from ops.unprojected import Place, position
from schema.identity import Partitions
from schema.keys import GROUP, Keys

_PAGE = 500
_STREAMS = ("webhooks", "outcomes")


@dataclass(frozen=True, slots=True)
class Standing:
    """One partition.

    Attributes:
        goes: the number of partitions does not reach so far.
        unfinished: webhooks without an end.
        moved: of these, of leads whose home is another partition.
        unrecorded: streams of it that the projector has not read to their end.
        dead: dead letters.
        forwards: copies on their way to Postgres.
    """

    partition: int
    goes: bool
    unfinished: int
    moved: int
    unrecorded: int
    dead: int
    forwards: int

    @property
    def drained(self) -> bool:
        """Whether nothing of the change is left here."""
        return not self.moved and not (self.goes and (self.unrecorded or self.dead or self.forwards))


async def standings(client: Client, record: asyncpg.Connection, settings: Settings) -> list[Standing]:
    """Every partition that is served, and every other one that is on record and still in Redis.

    Raises:
        StorageUnavailable: Redis or Postgres is away.
    """
    with postgres_translated("reading the checkpoints"):
        rows = await record.fetch(query("checkpoints"))
    checkpoints: dict[Place, str] = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
    known = range(max(settings.partitions.served, *(n + 1 for n, _ in checkpoints), 1))
    with translated("looking at the partitions"):
        there = {
            n for n in known if await client.exists(Keys(n).webhooks) or await client.exists(Keys(n).outcomes)
        }
        wanted = sorted(there | {*range(settings.partitions.served)})
        return [await _standing(client, n, checkpoints, settings.partitions) for n in wanted]


async def _standing(
    client: Client, partition: int, checkpoints: Mapping[Place, str], partitions: Partitions
) -> Standing:
    keys = Keys(partition)
    leads = await _unfinished(client, keys)
    unrecorded = 0
    for stream, name in zip(_STREAMS, (keys.webhooks, keys.outcomes), strict=True):
        last: Any = await client.xrevrange(name, count=1)
        seen = position(checkpoints.get((partition, stream), "0-0"))
        unrecorded += bool(last) and position(last[0][0].decode()) > seen
    return Standing(
        partition,
        goes=partition >= partitions.number,
        unfinished=len(leads),
        moved=sum(partitions.home(lead) != partition for lead in leads),
        unrecorded=unrecorded,
        dead=await client.xlen(keys.dead),
        forwards=await client.xlen(keys.forwards),
    )


async def _unfinished(client: Client, keys: Keys) -> list[str]:
    """The lead of every entry that is pending or was not read yet."""
    try:
        groups: Any = await client.xinfo_groups(keys.webhooks)
    except ResponseError:
        return []  # nothing has come here
    group = next((g for g in groups if g["name"] == GROUP.encode()), None)
    leads = [
        lead async for lead in _leads(client, keys, group["last-delivered-id"].decode() if group else "0-0")
    ]
    start = "-"
    while group:
        rows: Any = await client.xpending_range(keys.webhooks, GROUP, start, "+", _PAGE)
        async with client.pipeline(transaction=False) as pipe:
            for row in rows:
                pipe.xrange(keys.webhooks, row["message_id"], row["message_id"])
            bodies: Any = await pipe.execute()
        leads += [entries[0][1][b"lead_id"].decode() for entries in bodies if entries]
        if len(rows) < _PAGE:
            break
        start = f"({rows[-1]['message_id'].decode()}"
    return leads


async def _leads(client: Client, keys: Keys, after: str) -> AsyncIterator[str]:
    while True:
        rows: Any = await client.xrange(keys.webhooks, f"({after}", "+", count=_PAGE)
        for _, fields in rows:
            yield fields[b"lead_id"].decode()
        if len(rows) < _PAGE:
            return
        after = rows[-1][0].decode()


async def clear(client: Client, gone: Sequence[Standing], partitions: Partitions) -> int:
    """Delete what is left of partitions that nobody serves any more; the number of partitions cleared.

    Tombstones of erased events go to their leads' homes. Dedup keys, states and steps lapse by themselves.

    Args:
        client: Redis.
        gone: drained, and beyond what is served.
        partitions: as they are now.

    Raises:
        StorageUnavailable: Redis is away; clearing again is harmless.
    """
    for one in gone:
        keys = Keys(one.partition)
        with translated("clearing a partition"):
            tombstones: Any = await client.hgetall(keys.erased)
            for event_id, text in tombstones.items():
                lead = text.decode().rpartition("|")[0]
                await client.hset(Keys(partitions.home(lead)).erased, event_id, text)
            streams = (keys.webhooks, keys.outcomes, keys.dead, keys.forwards)
            await client.delete(*streams, keys.retries, keys.parked, keys.erased, keys.regrouped, keys.fence)
    return len(gone)


def changing(found: Sequence[Standing], partitions: Partitions) -> Finding:
    """What `c2s doctor` says of the number of partitions."""
    moved = sum(one.moved for one in found)
    waiting = [str(one.partition) for one in found if not one.drained]
    beyond = [one for one in found if one.partition >= partitions.served]
    if partitions.other:
        words = f"on the way from or to {partitions.other}, {partitions.number} for new webhooks"
        if waiting:
            words += f"; {moved} webhooks wait in their lead's former place"
            remedy = f"wait; `c2s partitions` shows what partitions {', '.join(waiting)} still hold"
        else:
            remedy = "once every process has this number: `c2s recover`, then unset STREAM_PARTITIONS_OTHER"
        return Finding("partitions", "warn", f"{words}{'' if waiting else '; drained'}", remedy)
    lost = [one for one in beyond if not one.drained]
    if lost or moved:
        words = f"{moved} unfinished webhooks are not where their lead is by STREAM_PARTITIONS"
        number = max((one.partition + 1 for one in lost), default=1)
        remedy = f"set STREAM_PARTITIONS_OTHER to the number before ({number} or more) everywhere"
        return Finding("partitions", "FAIL", words, remedy)
    if beyond:
        words = f"{len(beyond)} of a larger number before are left, with what people said in them"
        return Finding("partitions", "warn", words, "`c2s partitions clear`")
    return Finding("partitions", "ok", str(partitions.number))
