"""One look-up in flight per question: the lock of a dead owner lapses soon, that of a slow one does not."""

import asyncio

from ops.fingerprint import Fingerprints
from ops.redis import command_client, run
from ops.settings import Settings
from processor.cache import LookUps
from processor.exchange import Exchange
from schema import outside
from schema.codec import PlainCodec
from schema.keys import cache_keys

KEY = Fingerprints(b"key")


def look_ups(client, lease_s):
    settings = Settings.model_construct(lease_ttl_secs=lease_s, profile_cache_secs=60)
    return LookUps(Exchange(client), Free(), PlainCodec(), KEY, settings)


class Free:
    """Calls need no turns."""

    def ahead(self, _api):
        return None

    def begin(self, _begun):
        """Nothing was asked."""


async def test_the_lock_of_a_dead_owner_lives_no_longer_than_a_lease(redis_url):
    """An owner that takes the lock and is killed holds the next one up for a lease's life at most."""
    client = command_client(redis_url)
    keys = cache_keys(KEY.of("cpf", "asked"))
    began, never = asyncio.Event(), asyncio.Event()

    async def hang():
        began.set()
        await never.wait()

    owner = asyncio.create_task(look_ups(client, 5.0).get("cpf", "asked", hang))
    await began.wait()
    assert 0 < await client.pttl(keys[1]) <= 5000
    owner.cancel()
    await asyncio.gather(owner, return_exceptions=True)
    assert not await client.exists(keys[1])  # one that ends in good order leaves no lock
    await client.aclose()


async def test_a_slow_look_up_keeps_its_lock(redis_url):
    """A look-up that takes longer than the lock lives is renewed: who asks meanwhile waits for its answer."""
    client = command_client(redis_url)
    cache, name = look_ups(client, 0.3), KEY.of("cpf", "asked")
    began, go = asyncio.Event(), asyncio.Event()
    fetched = []

    async def fetch():
        fetched.append(1)
        began.set()
        await go.wait()
        return {"known": True}

    slow = asyncio.create_task(cache.get("cpf", "asked", fetch))
    await began.wait()
    other = asyncio.create_task(cache.get("cpf", "asked", fetch))
    token = await client.get(cache_keys(name)[1])
    async with asyncio.timeout(10):
        renewed, before = 0, 301
        while renewed < 4:  # four renewals outlive the lock's own life
            left = await client.pttl(cache_keys(name)[1])
            renewed, before = renewed + (left > before), left
    assert await client.get(cache_keys(name)[1]) == token
    go.set()
    assert await slow == await other == {"known": True}
    assert fetched == [1]
    await client.aclose()


async def test_only_the_owner_renews(redis_url):
    """Whoever asks with another token waits, and the lock's life stays as it is."""
    client = command_client(redis_url)
    keys = cache_keys(KEY.of("cpf", "asked"))

    async def ask(token, ms):
        [reply] = await run(client, outside.call([outside.look(KEY.of("cpf", "asked"), token, ms / 1000)]))
        return outside.read_look(reply).state

    assert await ask("one", 50_000) == "mine"
    assert await ask("other", 900_000) == "wait"
    assert await client.pttl(keys[1]) <= 50_000
    assert await ask("one", 90_000) == "mine"
    assert await client.pttl(keys[1]) > 50_000
    await client.aclose()
