"""A quiet Redis is not asked the same again, until something may have changed."""

from dataclasses import replace

from ops.alerts.readings import RedisReadings
from ops.alerts.watch import Quiet

CALM = RedisReadings(
    oldest_s=None,
    lag_s=None,
    dead=0,
    processor_s=1.0,
    previous_secret_s=None,
    breakers={},
    memory=0.1,
    disk=(),
)


class World:
    """What the watch sees of the streams, and its clock."""

    def __init__(self) -> None:
        self.seen, self.now = ({"webhooks": "1-0"}, False), 0.0
        self.quiet = Quiet(lambda: self.seen, lambda: self.now)


def test_while_nothing_comes_the_last_answer_stands_for_three_hours():
    """Then Redis is asked again, for a processor may have died in its sleep."""
    world = World()
    assert world.quiet.known() is None
    world.quiet.heard(CALM, world.seen)
    world.now = 3 * 3600.0 - 1
    assert world.quiet.known() == CALM
    world.now += 1
    assert world.quiet.known() is None


def test_an_entry_or_an_outage_ends_the_quiet():
    """Also one that came while Redis was being asked."""
    world = World()
    world.quiet.heard(CALM, world.seen)
    world.seen = ({"webhooks": "2-0"}, False)
    assert world.quiet.known() is None
    world.quiet.heard(CALM, ({"webhooks": "1-0"}, False))
    assert world.quiet.known() is None
    world.quiet.heard(CALM, world.seen)
    world.seen = (world.seen[0], True)
    assert world.quiet.known() is None


def test_trouble_is_looked_at_every_time():
    """What waits grows older, and a breaker closes, without any entry."""
    world = World()
    for troubled in (
        replace(CALM, oldest_s=1.0),
        replace(CALM, lag_s=1.0),
        replace(CALM, breakers={"c2s": 1.0}),
        replace(CALM, disk=("aof",)),
        replace(CALM, previous_secret_s=60.0),
        None,
    ):
        world.quiet.heard(troubled, world.seen)
        assert world.quiet.known() is None
