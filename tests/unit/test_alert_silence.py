"""When a silence is longer than usual for the hour and weekday."""

import pytest

from ops.alerts.readings import failing_disk, memory_share
from ops.alerts.silence import Silence, silence_of
from ops.doctor import silence_finding

HOUR = 3600.0


@pytest.mark.parametrize(
    ("silent_s", "gaps_s", "unusual"),
    [
        (None, [60.0] * 8, None),  # no webhook ever came
        (9 * HOUR, [60.0, 60.0], None),  # two weeks are no habit
        (0.9 * HOUR, [60.0] * 3, False),  # never below the least
        (1.1 * HOUR, [60.0] * 3, True),
        (20 * HOUR, [8 * HOUR] * 4, False),  # a night, as every night
        (25 * HOUR, [8 * HOUR] * 4, True),
        (2 * HOUR, [600.0, 600.0, 600.0, 600.0, 40 * HOUR], True),  # one outage of the past excuses nothing
    ],
)
def test_silence(silent_s, gaps_s, unusual):
    """Three times the middle gap of the weeks, at least an hour; without three weeks nothing is said."""
    found = silence_of(silent_s, gaps_s, factor=3, least_s=HOUR)
    assert (found.unusual if found else None) == unusual


def test_memory_is_measured_against_what_redis_may_use():
    """maxmemory, else the machine's memory; a server that tells neither is not judged."""
    assert memory_share({"used_memory": 80, "maxmemory": 100, "total_system_memory": 1000}) == 0.8
    assert memory_share({"used_memory": 80, "maxmemory": 0, "total_system_memory": 1000}) == 0.08
    assert memory_share({"used_memory": 80}) == 0.0


def test_each_failing_way_to_disk_is_named():
    """As INFO names them; unknown ones are fine."""
    assert failing_disk({"aof_last_write_status": "err", "rdb_last_bgsave_status": "ok"}) == (
        "aof_last_write_status",
    )
    assert failing_disk({}) == ()


@pytest.mark.parametrize(
    ("silence", "level", "words"),
    [
        (None, "ok", "too little history"),
        (
            Silence(600, 300, HOUR),
            "ok",
            "the last one 10 min ago; the usual longest gap at this hour is 5 min",
        ),
        (Silence(9 * HOUR, 300, HOUR), "warn", "the last one 9 h ago"),
    ],
)
def test_the_doctor_says_so_too(silence, level, words):
    """A warning with what to do, in the words of the alert."""
    finding = silence_finding(silence)
    assert (finding.level, words in finding.found) == (level, True)
    assert ("c2s reconcile" in finding.remedy) == (level == "warn")
