"""Which events are known: on record or in the spool (Postgres), or still on their way there (Redis)."""

from collections import defaultdict
from collections.abc import Sequence

import asyncpg

from ops.postgres import translated
from ops.redis import Client
from ops.redis import translated as redis_translated
from processor.reconcile.missing import Known
from schema.identity import Partitions
from schema.keys import Keys
from schema.webhook import Delivery

_EVENTS = """
SELECT lead_id, hook_action, coalesce(version, '') AS version, received_at,
    CASE WHEN result = 'sent' THEN processed_at END AS sent_at
FROM webhook_events WHERE lead_id = ANY($1)
UNION ALL
SELECT lead_id, action, version, received_at, NULL
FROM ingress_spool WHERE drained_at IS NULL AND lead_id = ANY($1)
"""


async def known_events(conn: asyncpg.Connection, lead_ids: Sequence[str]) -> dict[str, list[Known]]:
    """The events of some leads, by lead id.

    Raises:
        StorageUnavailable: Postgres is away.
    """
    with translated("reading the leads' events"):
        rows = await conn.fetch(_EVENTS, list(lead_ids))
    found: dict[str, list[Known]] = defaultdict(list)
    for row in rows:
        event = Known(row["hook_action"], row["version"], row["received_at"], row["sent_at"])
        found[row["lead_id"]].append(event)
    return found


async def not_in_stream(
    client: Client, deliveries: Sequence[Delivery], partitions: Partitions
) -> list[Delivery]:
    """Those of which Redis knows nothing: an accepted webhook may not have reached the record yet.

    Raises:
        StorageUnavailable: Redis is away.
    """
    if not deliveries:
        return []
    asked = [(delivery, partitions.places(delivery.lead_id)) for delivery in deliveries]
    with redis_translated("looking for dedup keys"):
        async with client.pipeline(transaction=False) as pipe:
            for delivery, places in asked:
                for place in places:
                    pipe.exists(Keys(place).dedup(delivery.dedup_key))
            there = iter(await pipe.execute())
    found = [[next(there) for _ in places] for _, places in asked]
    return [delivery for (delivery, _), known in zip(asked, found, strict=True) if not any(known)]
