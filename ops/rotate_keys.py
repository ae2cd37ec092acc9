"""`c2s keys status` and `rotate`: which keys the whole system needs, and wrapping anew with the newest."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from ops.postgres import connect, translated
from ops.redis import Client, command_client
from ops.rekey import PLACES, older, rewrap, used
from ops.rekey_redis import SealedRedis
from ops.seal import SealingCodec, sealing_of
from ops.settings import Settings
from schema.errors import SettingsError

Progress = Callable[[str, int, int], None]
# Until these are worked off or trimmed, nothing can be done about them but wait.
PASSING = frozenset({"webhooks", "outcomes", "forwards"})


@dataclass(frozen=True, slots=True)
class Use:
    """How many texts of a place need a key.

    Attributes:
        standing: ``newest``, ``older`` or ``MISSING`` (not among PAYLOAD_KEYS: it cannot be opened here).
    """

    place: str
    key: str
    texts: int
    standing: str


def needed_codec(settings: Settings) -> SealingCodec:
    """The codec of PAYLOAD_KEYS.

    Raises:
        SettingsError: none are set.
    """
    codec = sealing_of(settings)
    if codec is None:
        raise SettingsError("PAYLOAD_KEYS: not set; everything is in clear. `c2s keys new` makes a key")
    return codec


async def standing(settings: Settings) -> list[Use]:
    """Which keys everything stored needs.

    Raises:
        SettingsError: no keys are set.
        StorageUnavailable: Redis or Postgres is away.
    """
    codec = needed_codec(settings)
    async with _servers(settings) as (client, conn, _):
        return await _standing(settings, codec, client, conn)


async def rotate(settings: Settings, progress: Progress) -> list[Use]:
    """Wrap everything with the newest key while traffic goes on; what is needed afterwards.

    Raises:
        SettingsError: no keys are set.
        KeyMissing: something needs a key that is not set; what was done so far stays done.
        StorageUnavailable: Redis or Postgres is away; likewise. Running it again goes on.
    """
    codec = needed_codec(settings)
    async with _servers(settings) as (client, conn, writer):
        for place in PLACES:
            total, done = await older(conn, place, codec), 0

            def step(number: int, name: str = place.name, total: int = total) -> None:
                nonlocal done
                done += number
                progress(name, done, max(done, total))

            step(0)
            await rewrap(conn, writer, place, codec, step)
        redis = SealedRedis(client, settings.partitions.served)
        found = 0

        def count(number: int) -> None:
            nonlocal found
            found += number
            progress("Redis", found, found)

        await redis.rewrap(codec, count)
        with translated("reading the checkpoints"):
            rows = await conn.fetch("SELECT partition, stream, entry_id FROM projection_checkpoints")
        checkpoints = {(row["partition"], row["stream"]): row["entry_id"] for row in rows}
        await redis.trim(codec, checkpoints, settings.trim_keep or 10**12)
        return await _standing(settings, codec, client, conn)


async def _standing(
    settings: Settings, codec: SealingCodec, client: Client, conn: asyncpg.Connection
) -> list[Use]:
    counts: dict[str, Counter[str]] = {place.name: await used(conn, place) for place in PLACES}
    counts |= await SealedRedis(client, settings.partitions.served).used()
    return [
        Use(place, key, number, _standing_of(key, codec))
        for place, found in counts.items()
        for key, number in sorted(found.items())
    ]


def _standing_of(key: str, codec: SealingCodec) -> str:
    if key == codec.newest:
        return "newest"
    return "older" if key in codec.key_ids else "MISSING"


@asynccontextmanager
async def _servers(
    settings: Settings,
) -> AsyncIterator[tuple[Client, asyncpg.Connection, asyncpg.Connection]]:
    client = command_client(settings.redis_url.get_secret_value())
    conns: list[asyncpg.Connection] = []
    try:
        conns = [await connect(settings, application_name=f"c2s-keys-{n}") for n in ("read", "write")]
        yield client, conns[0], conns[1]
    finally:
        for conn in conns:
            await conn.close(timeout=5)
        await client.aclose()
