"""The script `trim` on a real Redis: what may go, what must stay."""

import random
from collections.abc import AsyncIterator

import pytest

from ops.redis import Client, command_client, run
from schema.keys import GROUP, Keys
from schema.trimming import Trimmed, read_trim, trim

KEYS = Keys(0)
PAGE = 100  # entries in a node of the stream, the unit in which it is trimmed


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    made = command_client(redis_url)
    yield made
    await made.aclose()


async def fill(client: Client, stream: str, number: int, first: int = 1) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for n in range(first, first + number):
            pipe.xadd(stream, {"n": str(n)}, id=f"{n}-0")
        await pipe.execute()


async def deliver(client: Client, group: str, number: int, *, ack: bool = True) -> list[bytes]:
    reply = await client.xreadgroup(group, "p1", {KEYS.webhooks: ">"}, count=number)
    ids = [entry_id for entry_id, _ in reply[0][1]]
    if ack:
        await client.xack(KEYS.webhooks, group, *ids)
    return ids


async def trimmed(
    client: Client, *, keep: int = 0, webhooks: str = "", outcomes: str = "", **more
) -> Trimmed:
    call = trim(KEYS, keep=keep, webhooks=webhooks, outcomes=outcomes, **more)
    return read_trim(await run(client, call))


async def first(client: Client, stream: str) -> int:
    rows = await client.xrange(stream, count=1)
    return int(rows[0][0].split(b"-")[0])


async def test_only_what_lies_below_the_checkpoint_goes(client):
    """Outcomes have no group: the checkpoint alone decides; the entry it names stays."""
    await fill(client, KEYS.outcomes, 1000)
    assert await trimmed(client, outcomes="450-0") == Trimmed(0, 400, 0)
    assert await first(client, KEYS.outcomes) == 401
    assert await trimmed(client, outcomes="450-0") == Trimmed(0, 0, 0)


async def test_without_a_checkpoint_nothing_goes(client):
    """A stream that was never projected is left alone."""
    await fill(client, KEYS.outcomes, 500)
    assert await trimmed(client) == Trimmed(0, 0, 0)


async def test_the_newest_entries_stay(client):
    """However far the checkpoint is, `keep` entries are left for whoever looks back."""
    await fill(client, KEYS.outcomes, 1000)
    assert await trimmed(client, keep=350, outcomes="1000-0") == Trimmed(0, 600, 0)
    assert await client.xlen(KEYS.outcomes) == 400


async def test_what_is_pending_or_undelivered_stays(client):
    """The oldest pending entry of the group holds everything from itself on; then its last delivery does."""
    await fill(client, KEYS.webhooks, 1000)
    await client.xgroup_create(KEYS.webhooks, GROUP, "0")
    await deliver(client, GROUP, 250)
    kept = await deliver(client, GROUP, 1, ack=False)
    await deliver(client, GROUP, 500)
    assert await trimmed(client, webhooks="1000-0") == Trimmed(200, 0, 0)
    await client.xack(KEYS.webhooks, GROUP, *kept)
    assert await trimmed(client, webhooks="1000-0") == Trimmed(500, 0, 0)
    assert await first(client, KEYS.webhooks) == 701
    assert len(await deliver(client, GROUP, 1000)) == 249


async def test_every_group_is_waited_for(client):
    """A group that has read nothing keeps everything."""
    await fill(client, KEYS.webhooks, 500)
    for group in (GROUP, "others"):
        await client.xgroup_create(KEYS.webhooks, group, "0")
    await deliver(client, GROUP, 500)
    assert await trimmed(client, webhooks="500-0") == Trimmed(0, 0, 0)
    await deliver(client, "others", 300)
    assert await trimmed(client, webhooks="500-0") == Trimmed(200, 0, 0)


async def test_a_stream_without_its_group_is_left_alone(client):
    """Nobody could tell what the processors still need; another group is no answer."""
    await fill(client, KEYS.webhooks, 500)
    await client.xgroup_create(KEYS.webhooks, "others", "$")
    assert await trimmed(client, webhooks="500-0") == Trimmed(0, 0, 0)


@pytest.mark.parametrize("checkpoint", ["1001-0", "1000-1", "18446744073709551615-5"])
async def test_a_checkpoint_beyond_the_stream_is_of_another_stream(client, checkpoint):
    """After Redis lost the stream and its clock went back, nothing is known to be archived."""
    await fill(client, KEYS.outcomes, 1000)
    assert await trimmed(client, outcomes=checkpoint) == Trimmed(0, 0, 0)


async def test_old_dead_letters_go_when_told(client):
    """Their age counts, nothing else; without a limit they stay."""
    await fill(client, KEYS.dead, 1000)
    assert await trimmed(client) == Trimmed(0, 0, 0)
    assert await trimmed(client, dead_before_ms=500) == Trimmed(0, 0, 400)


@pytest.mark.parametrize("seed", range(12))
async def test_nothing_needed_is_ever_taken(client, seed):
    """Whatever groups and checkpoint are: unarchived, undelivered and pending entries are all there."""
    rng = random.Random(seed)
    await fill(client, KEYS.webhooks, 1200)
    needed: set[int] = set()
    for group in (GROUP, *("g1", "g2")[: rng.randint(0, 2)]):
        await client.xgroup_create(KEYS.webhooks, group, "0")
        read = rng.randint(1, 1200)
        ids = await deliver(client, group, read, ack=False)
        pending = set(rng.sample(ids, rng.randint(0, 3)))
        await client.xack(KEYS.webhooks, group, *(set(ids) - pending or {b"0-1"}))
        needed |= {int(i.split(b"-")[0]) for i in pending} | set(range(read + 1, 1201))
    checkpoint, keep = rng.randint(1, 1200), rng.randint(0, 1200)
    needed |= set(range(checkpoint, 1201)) | set(range(1201 - keep, 1201))
    taken = await trimmed(client, keep=keep, webhooks=f"{checkpoint}-0")
    left = {int(i.split(b"-")[0]) for i, _ in await client.xrange(KEYS.webhooks)}
    assert needed <= left
    assert taken.webhooks == 1200 - len(left) >= (min(needed) - 1) // PAGE * PAGE


async def test_what_is_too_old_goes_to_the_entry_whatever_is_kept(client):
    """Below the given id everything that is archived and done with goes, the checkpoint's own entry too."""
    await fill(client, KEYS.webhooks, 1000)
    await client.xgroup_create(KEYS.webhooks, GROUP, "0")
    await deliver(client, GROUP, 333)
    kept = await deliver(client, GROUP, 1, ack=False)
    await deliver(client, GROUP, 666)
    old = {"keep": 5000, "webhooks": "1000-0"}
    assert await trimmed(client, **old, old_webhooks="123-0") == Trimmed(122, 0, 0)
    assert await trimmed(client, **old, old_webhooks="5000-0") == Trimmed(211, 0, 0)
    assert await first(client, KEYS.webhooks) == 334
    await client.xack(KEYS.webhooks, GROUP, *kept)
    assert await trimmed(client, keep=5000, webhooks="900-0", old_webhooks="5000-0") == Trimmed(567, 0, 0)
    assert await trimmed(client, **old, old_webhooks="5000-0") == Trimmed(100, 0, 0)
    assert await client.xlen(KEYS.webhooks) == 0
