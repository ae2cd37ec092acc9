"""From readings to what is wrong. Pure; docs/alerts.md tells people what to do about each rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ops.alerts.readings import Readings, RecordReadings, RedisReadings
from ops.alive import heard_within_s
from ops.findings import duration
from ops.settings import Settings

Severity = Literal["warning", "critical"]

RECORD_RULES = frozenset(
    {
        "retries",
        "c2s_failures",
        "duplicate_rate",
        "token_refused",
        "entries_vanished",
        "spool_in_use",
        "silence",
        "redis_away",
    }
)
REDIS_RULES = frozenset(
    {
        "dead_letters",
        "oldest_waiting",
        "projector_lag",
        "breaker_open",
        "previous_secret",
        "redis_memory",
        "redis_disk",
    }
)
RULES = RECORD_RULES | REDIS_RULES


@dataclass(frozen=True, slots=True)
class Firing:
    """Something is wrong now.

    Attributes:
        fingerprint: rule, and the subject where a rule has several.
        value: what was measured.
        threshold: what it must not exceed.
    """

    rule: str
    fingerprint: str
    severity: Severity
    summary: str
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong, and which rules could be judged: an alert of another rule stays as it is."""

    firing: tuple[Firing, ...]
    judged: frozenset[str]


def judge(readings: Readings, settings: Settings) -> Judgement:
    """Everything that is wrong now."""
    firing = [*_record(readings.record, settings)]
    if readings.redis is None:
        words = f"Redis cannot be asked ({readings.redis_fault}); webhooks go to the spool meanwhile"
        firing.append(_firing("redis_away", "critical", words, 1, 0))
        return Judgement(tuple(firing), RECORD_RULES)
    firing += _redis(readings.redis, settings)
    return Judgement(tuple(firing), RULES)


def faults(readings: Readings, settings: Settings) -> list[str]:
    """Why the synthetic check (a lead's way through Redis, processor, record) fails; empty if it passes."""
    r = readings.redis
    if r is None:
        return [f"redis: {readings.redis_fault}"]
    found = []
    if r.processor_s is None or r.processor_s > heard_within_s(settings):
        found.append("processor: none has been heard of")
    if r.lag_s is not None and r.lag_s > settings.alert_lag:
        found.append("projector: the record is behind")
    if r.oldest_s is not None and r.oldest_s > settings.alert_oldest:
        found.append("processing: an event waits too long")
    if r.disk:
        found.append("redis: cannot persist")
    return found


def _record(r: RecordReadings, s: Settings) -> Iterator[Firing]:
    if r.retrying > 0:
        words = f"{r.retrying} event(s) with more than {s.alert_retries} failed attempts"
        yield _firing("retries", "warning", words, r.retrying, 0)
    if r.c2s_failures > s.alert_c2s_failures:
        words = f"{r.c2s_failures} event(s) failed for good at C2S within {_span(s.alert_window)}"
        yield _firing("c2s_failures", "critical", words, r.c2s_failures, s.alert_c2s_failures)
    yield from _repeats(r, s)
    for api, count in sorted(r.refused.items()):
        if count > s.alert_token_refused:
            words = f"{api or 'an API'} refuses our token or account; {count} event(s) wait for the operator"
            yield _firing("token_refused", "critical", words, count, s.alert_token_refused, api)
    if r.vanished > s.alert_vanished:
        words = f"{r.vanished} entries vanished from a stream before their end; restored from the archive"
        yield _firing("entries_vanished", "critical", words, r.vanished, s.alert_vanished)
    if r.spooled > s.alert_spooled:
        words = f"{r.spooled} webhook(s) wait in the spool: Redis does not take them"
        yield _firing("spool_in_use", "critical", words, r.spooled, s.alert_spooled)
    if r.silence is not None and r.silence.unusual:
        words = (
            f"no webhook for {_span(r.silence.silent_s)}; usual at this hour and weekday is a gap of "
            f"{_span(r.silence.usual_s)} at most"
        )
        yield _firing("silence", "critical", words, r.silence.silent_s, r.silence.allowed_s)


def _repeats(r: RecordReadings, s: Settings) -> Iterator[Firing]:
    webhooks = r.events + r.duplicates
    rate = r.duplicates / webhooks if webhooks else 0.0
    if webhooks >= s.alert_duplicates_least and rate > s.alert_duplicate_rate:
        words = f"{rate:.0%} of {webhooks} webhooks within {_span(s.alert_window)} were repeats"
        yield _firing("duplicate_rate", "warning", words, rate, s.alert_duplicate_rate)


def _redis(r: RedisReadings, s: Settings) -> Iterator[Firing]:
    if r.dead > s.alert_dead_letters:
        words = f"{r.dead} dead letter(s): events that were given up"
        yield _firing("dead_letters", "critical", words, r.dead, s.alert_dead_letters)
    if r.oldest_s is not None and r.oldest_s > s.alert_oldest:
        words = f"an event has been waiting for its end for {_span(r.oldest_s)}"
        yield _firing("oldest_waiting", "critical", words, r.oldest_s, s.alert_oldest)
    if r.lag_s is not None and r.lag_s > s.alert_lag:
        words = f"the record is {_span(r.lag_s)} behind the streams"
        yield _firing("projector_lag", "warning", words, r.lag_s, s.alert_lag)
    for api, open_s in sorted(r.breakers.items()):
        if open_s >= s.alert_breaker_open:
            words = f"the circuit breaker of {api} is open, for {_span(open_s)} now"
            yield _firing("breaker_open", "warning", words, open_s, s.alert_breaker_open, api)
    if r.previous_secret_s is not None and r.previous_secret_s <= s.alert_previous_secret:
        words = f"a webhook came with a previous secret {_span(r.previous_secret_s)} ago: keep it for now"
        yield _firing("previous_secret", "warning", words, r.previous_secret_s, s.alert_previous_secret)
    if r.memory > s.alert_redis_memory:
        words = f"Redis uses {r.memory:.0%} of its memory"
        yield _firing("redis_memory", "warning", words, r.memory, s.alert_redis_memory)
    if len(r.disk) > s.alert_redis_disk:
        words = f"Redis fails to write to disk: {', '.join(r.disk)}"
        yield _firing("redis_disk", "critical", words, len(r.disk), s.alert_redis_disk)


def _firing(  # noqa: PLR0917 -- in the order of the class's fields
    rule: str, severity: Severity, summary: str, value: float, threshold: float, subject: str = ""
) -> Firing:
    fingerprint = f"{rule}:{subject}" if subject else rule
    return Firing(rule, fingerprint, severity, summary, float(value), float(threshold))


def _span(seconds: float) -> str:
    return duration(timedelta(seconds=seconds))


def worst(firing: Sequence[Firing]) -> Severity | None:
    """The gravest severity; None where nothing fires."""
    if not firing:
        return None
    return "critical" if any(f.severity == "critical" for f in firing) else "warning"
