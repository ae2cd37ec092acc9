"""Synthetic history: facts as the scripts would append them, of invented leads, in the order of time."""

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from projections.batch import Fact, StreamName
from schema.events import (
    AttemptFailed,
    Event,
    LeadDeadLettered,
    LeadProcessed,
    ProcessingStarted,
    WebhookAccepted,
    WebhookDuplicated,
    encode,
)
from schema.identity import event_id_of

ACTIONS = ("on_create_lead",) * 8 + ("on_update_lead", "on_close_lead")
ERRORS = (
    ("diretrix", "people", "diretrix_timeout"),
    ("work", "profiles", "work_500"),
    ("c2s", "send", "c2s_429"),
)
RETURNING = 0.1  # of all webhooks: of a lead that had one before
PERSON = (
    '{"kind":"same","people":[{"cpf":"%011d","name":"Pessoa %d","contact_kind":"phone","profile":{"n":%d}}]}'
)


def facts(events: int, begin: datetime, end: datetime, seed: int = 1) -> Iterator[Fact]:
    """The facts of so many webhooks, spread evenly between two times.

    A webhook makes about 3.2 facts: itself, its attempts (8 % fail once), its end (2 % dead letters; what
    came in the last moments has none yet) and repeats (5 %).
    """
    rng = random.Random(seed)
    step = (end - begin) / max(events, 1)
    waiting: list[tuple[int, int, Event]] = []
    ties = count()
    sequence = last_ms = 0

    def due(until_ms: float) -> Iterator[Fact]:
        nonlocal sequence, last_ms
        while waiting and waiting[0][0] <= until_ms:
            ms, _, event = heapq.heappop(waiting)
            sequence = sequence + 1 if ms == last_ms else 0
            last_ms = ms
            stream: StreamName = "webhooks" if isinstance(event, WebhookAccepted) else "outcomes"
            yield Fact(0, stream, f"{ms}-{sequence}", encode(event), event)

    for number in range(events):
        at = begin + step * number
        yield from due(at.timestamp() * 1000)
        for event, after_s in _life(rng, number, seed, at):
            moment = at + timedelta(seconds=after_s)
            if moment <= end:
                heapq.heappush(waiting, (int(moment.timestamp() * 1000), next(ties), event))
    yield from due(float("inf"))


def _life(rng: random.Random, number: int, seed: int, at: datetime) -> Iterator[tuple[Event, float]]:
    """One webhook's facts, each with the seconds after its acceptance."""
    lead = f"s{seed}-{rng.randrange(number) if number and rng.random() < RETURNING else number}"
    action = rng.choice(ACTIONS)
    about = {"event_id": event_id_of(f"scale:{seed}:{number}"), "lead_id": lead, "action": action}
    body = f'{{"lead_id":"{lead}","action":"{action}","n":{number},"note":"{"x" * rng.randint(100, 500)}"}}'
    accepted = WebhookAccepted(**about, version=str(number), source="webhook", received_at=at, payload=body)
    yield accepted, 0.0
    if rng.random() < 0.05:
        again = at + timedelta(seconds=1)
        yield WebhookDuplicated(**about, received_at=again, at=again, source="webhook", payload=body), 1.0
    after_s, attempt = 0.2 + rng.random(), 1
    failing = rng.random() < 0.08

    def head() -> dict[str, object]:
        moment = at + timedelta(seconds=after_s)
        fence = round(moment.timestamp() * 1_000_000)
        more = {"received_at": at, "at": moment, "attempt": attempt, "instance": "scale-1"}
        return about | more | {"fence": fence}

    if failing:
        started = head()
        yield ProcessingStarted(**started), after_s
        after_s += 1.0
        api, step, code = rng.choice(ERRORS)
        failed = head() | {"fence": started["fence"]}
        due = at + timedelta(seconds=after_s + 3)
        told = {"step": step, "code": code, "api": api, "error": "not now", "calls": '{"c2s":1}'}
        yield AttemptFailed(**failed, **told, retry_at=due), after_s
        after_s, attempt = after_s + 3.5, 2
    started = head()
    yield ProcessingStarted(**started), after_s
    after_s += rng.expovariate(0.5)
    ended = head() | {"fence": started["fence"]}
    if rng.random() < 0.02:
        told = {"step": "lead", "code": "c2s_404", "api": "c2s", "error": "gone", "calls": '{"c2s":1}'}
        yield LeadDeadLettered(**ended, **told), after_s
        return
    told = {"timings": '{"lead":12,"send":80}', "calls": '{"c2s":2,"diretrix":1,"work":1}'}
    if action == "on_create_lead":
        told |= {"result": "sent", "message_ref": f"ref: {number:x}", "message": "Olá " * 40}
        if number % 4 == 0:
            told |= {"enrichment": PERSON % (number, number, number)}
    else:
        told |= {"result": "recorded"}
    yield LeadProcessed(**ended, **told), after_s


def now() -> datetime:
    """The present, to the millisecond, as stream ids know it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
