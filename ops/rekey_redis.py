"""Where sealed texts lie in Redis, which keys they need, and how they are wrapped anew.

Finished steps, cached look-ups and dead letters are rewrapped in place. Entries of the streams cannot be:
those that are archived and done with are trimmed, and the others go by being worked off.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from ops.redis import Client, run, translated
from ops.seal import SealingCodec, key_of
from schema.keys import CACHED, Keys
from schema.scripts import ScriptCall, script
from schema.trimming import trim

_PAGE = 500


async def scanned(client: Client, pattern: str) -> AsyncIterator[str]:
    """Every key of a pattern, by a scan that holds up nobody.

    Raises:
        StorageUnavailable: Redis is away.
    """
    with translated("looking for keys"):
        async for key in client.scan_iter(match=pattern, count=_PAGE):
            yield key.decode()


async def entries(client: Client, stream: str) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Every entry of a stream, page by page.

    Raises:
        StorageUnavailable: Redis is away.
    """
    start = "-"
    while True:
        with translated("reading a stream"):
            rows: Any = await client.xrange(stream, start, "+", count=_PAGE)
        for entry_id, fields in rows:
            yield entry_id.decode(), {k.decode(): v.decode() for k, v in fields.items()}
        if len(rows) < _PAGE:
            return
        start = f"({rows[-1][0].decode()}"


def counted(texts: Iterable[str]) -> Counter[str]:
    """Of sealed texts, how many need which key."""
    return Counter(key for text in texts if (key := key_of(text)))


class SealedRedis:
    """The sealed texts of every partition."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._partitions = [Keys(partition) for partition in range(partitions)]

    async def used(self) -> dict[str, Counter[str]]:
        """How many texts need which key, by kind of place.

        Raises:
            StorageUnavailable: Redis is away.
        """
        found: dict[str, Counter[str]] = {"steps": Counter(), "caches": Counter()}
        for keys in self._partitions:
            for name, stream in _streams(keys):
                count = found.setdefault(name, Counter())
                async for _, fields in entries(self._client, stream):
                    count += counted(fields.values())
            async for key in scanned(self._client, keys.steps("*")):
                found["steps"] += counted((await self._hash(key)).values())
        async for key in scanned(self._client, CACHED):
            found["caches"] += counted([await self._string(key)])
        return found

    async def rewrap(self, codec: SealingCodec, progress: Callable[[int], None]) -> None:
        """Wrap steps, caches and dead letters with the newest key.

        Raises:
            KeyMissing: a text needs a key that is not in PAYLOAD_KEYS; what was done so far stays done.
            StorageUnavailable: Redis is away; likewise.
        """
        for keys in self._partitions:
            async for key in scanned(self._client, keys.steps("*")):
                held = _older(await self._hash(key), codec)
                texts = [t for name, text in held.items() for t in (name, text, codec.rewrapped(text))]
                progress(await self._replace(key, "hash", texts) if held else 0)
            # To the letters there are now: each that is rewrapped goes to the end.
            for letter_id, fields in [entry async for entry in entries(self._client, keys.dead)]:
                if _older(fields, codec):
                    fresh = [t for name, text in fields.items() for t in (name, codec.rewrapped(text))]
                    progress(await self._replace(keys.dead, "stream", [letter_id, *fresh]))
        async for key in scanned(self._client, CACHED):
            text = await self._string(key)
            if key_of(text) not in ("", codec.newest):
                progress(await self._replace(key, "string", [text, codec.rewrapped(text)]))

    async def trim(self, codec: SealingCodec, checkpoints: dict[tuple[int, str], str], keep: int) -> None:
        """Take from the streams what needs an older key, as far as it is archived and done with.

        Args:
            codec: with the newest key.
            checkpoints: of each partition and stream, as committed.
            keep: TRIM_KEEP, for what is under the newest key.

        Raises:
            StorageUnavailable: Redis is away.
        """
        for keys in self._partitions:
            last = {"webhooks": "", "outcomes": ""}
            for name, stream in (("webhooks", keys.webhooks), ("outcomes", keys.outcomes)):
                async for entry_id, fields in entries(self._client, stream):
                    if _older(fields, codec):
                        last[name] = _after(entry_id)
            call = trim(
                keys,
                keep=keep,
                webhooks=checkpoints.get((keys.partition, "webhooks"), ""),
                outcomes=checkpoints.get((keys.partition, "outcomes"), ""),
                old_webhooks=last["webhooks"],
                old_outcomes=last["outcomes"],
            )
            while any(last.values()) and sum((await run(self._client, call))[:2]):
                pass

    async def _replace(self, key: str, kind: str, texts: list[str]) -> int:
        done: int = await run(self._client, ScriptCall(script("rewrap"), [key], [kind, *texts]))
        return done

    async def _hash(self, key: str) -> dict[str, str]:
        with translated("reading finished steps"):
            found: Any = await self._client.hgetall(key)
        return {k.decode(): v.decode() for k, v in found.items()}

    async def _string(self, key: str) -> str:
        with translated("reading a cached look-up"):
            found: Any = await self._client.get(key)
        return (found or b"").decode()


def _streams(keys: Keys) -> tuple[tuple[str, str], ...]:
    return (
        ("webhooks", keys.webhooks),
        ("outcomes", keys.outcomes),
        ("dead letters", keys.dead),
        ("forwards", keys.forwards),
    )


def _older(fields: dict[str, str], codec: SealingCodec) -> dict[str, str]:
    return {name: text for name, text in fields.items() if key_of(text) not in ("", codec.newest)}


def _after(entry_id: str) -> str:
    ms, _, sequence = entry_id.partition("-")
    return f"{ms}-{int(sequence) + 1}"
