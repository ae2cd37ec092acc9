"""The doctor's judgements."""

from datetime import UTC, datetime, timedelta

import pytest

from ops.doctor import c2s_finding
from ops.findings import backlog, clock, duration, eviction, persistence, postgres_version, redis_version

NOW = datetime(2026, 1, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "level"), [("6.0.16", "FAIL"), ("6.2.0", "ok"), ("8.2.1", "ok"), ("", "FAIL")]
)
def test_redis_before_6_2_is_refused(version: str, level: str) -> None:
    """XAUTOCLAIM is needed."""
    assert redis_version(version).level == level


@pytest.mark.parametrize(("major", "level"), [(13, "FAIL"), (14, "ok"), (18, "ok")])
def test_postgres_without_fixes_is_refused(major: int, level: str) -> None:
    """A server that gets no fixes is not one to keep a record in."""
    assert postgres_version(major, 1).level == level


def test_redis_that_forgets_is_refused() -> None:
    """No append-only file, one that cannot be written, or eviction: each can lose an accepted webhook."""
    assert persistence(aof_enabled=False, last_write="ok").level == "FAIL"
    assert persistence(aof_enabled=True, last_write="err").level == "FAIL"
    assert persistence(aof_enabled=True, last_write="ok").level == "ok"
    assert eviction("allkeys-lru").level == "FAIL"
    assert eviction("").level == "FAIL"
    assert eviction("noeviction").level == "ok"


@pytest.mark.parametrize(
    ("drift_s", "level"), [(0.1, "ok"), (-3.0, "warn"), (61.0, "FAIL"), (-600.0, "FAIL")]
)
def test_clocks_that_differ_are_told(drift_s: float, level: str) -> None:
    """A few seconds are worth a look; a minute refuses signed webhooks."""
    assert clock("redis clock", drift_s).level == level


def test_a_backlog_is_a_warning_once_it_is_old() -> None:
    """Work in flight is fine; ten minutes of waiting is not."""
    young = f"{round((NOW - timedelta(minutes=1)).timestamp() * 1000)}-0"
    old = f"{round((NOW - timedelta(minutes=30)).timestamp() * 1000)}-0"
    assert backlog("pending", 0, "", NOW).level == "ok"
    assert backlog("pending", 3, young, NOW).level == "ok"
    told = backlog("pending", 3, old, NOW)
    assert (told.level, told.found) == ("warn", "3 pending, the oldest for 30 min")


@pytest.mark.parametrize(
    ("status", "level"),
    [(200, "ok"), (401, "FAIL"), (403, "FAIL"), (429, "warn"), (500, "warn"), (302, "warn")],
)
def test_c2s_answers_are_judged(status: int, level: str) -> None:
    """Only a refused token is a failure; the others say nothing about it."""
    assert c2s_finding(status).level == level


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (42, "42 s"), (200, "3 min"), (7200, "2 h"), (259_200, "3 d")]
)
def test_spans_are_told_in_one_unit(seconds: float, words: str) -> None:
    """As a person would say it."""
    assert duration(timedelta(seconds=seconds)) == words
