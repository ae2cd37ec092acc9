"""What a storm does and when: all of it drawn from the seed beforehand, so that a seed repeats it.

Timing is not repeated: how far the system was when a blow fell depends on the machine.
"""

import random
from dataclasses import dataclass

PROCESSORS = ("processor-1", "processor-2", "processor-3")
SERVERS = ("redis", "postgres")
TARGETS = ("c2s.create_message", "c2s.create_message", "c2s.get_lead", "c2s", "diretrix", "work")
KINDS = ("error", "timeout", "reset", "lost_reply", "lost_reply", "429", "slow")
SHAPES = ("seed", "attributes", "data", "lead")
STOP_S = 4.5  # longer than a lease
HOLD_S = 2.0  # how long nothing passes
AWAY_S = 4.0  # how long a server takes no connection
# One of each comes first, so that even a short storm has them all; then by these weights.
WEIGHTS = {
    "kill processor": 30,
    "kill projector": 8,
    "kill ingress": 6,
    "kill server": 5,
    "stop": 6,
    "cut all": 4,
    "cut one": 8,
    "drop reply": 12,
    "hold": 3,
    "away": 4,
    "api": 25,
}
_MARKS = {"redis": ("", "EVALSHA"), "postgres": ("", "COMMIT")}


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that is done to the system.

    Attributes:
        at: seconds after the storm's begin.
        kind: one of `WEIGHTS`.
        target: a service, a server or a call of the sandbox.
        detail: what the kind needs: a fault's kind, or bytes of the command whose reply is dropped.
        times: how often.
    """

    at: float
    kind: str
    target: str
    detail: str = ""
    times: int = 1


def blows(rng: random.Random, seconds: float) -> list[Blow]:
    """The blows of a storm of so many seconds, by time."""
    first = list(WEIGHTS)
    rng.shuffle(first)
    found, at = [], 0.0
    while (at := at + rng.uniform(0.5, 2.5)) < seconds:
        kind = first.pop() if first else rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        found.append(_blow(rng, at, kind))
    return found


def _blow(rng: random.Random, at: float, kind: str) -> Blow:
    match kind:
        case "kill processor" | "stop":
            return Blow(at, kind, rng.choice(PROCESSORS))
        case "kill projector" | "kill ingress":
            return Blow(at, kind, kind.removeprefix("kill "))
        case "drop reply":
            server = rng.choice(SERVERS)
            return Blow(at, kind, server, rng.choice(_MARKS[server]), rng.randint(1, 3))
        case "api":
            return Blow(at, kind, rng.choice(TARGETS), rng.choice(KINDS), rng.randint(1, 4))
        case _:
            return Blow(at, kind, rng.choice(SERVERS))


@dataclass(frozen=True, slots=True)
class Sent:
    """One webhook of a lead.

    Attributes:
        body: which of the lead's bodies; the same number is the same webhook again.
        pause_s: before it is sent, after the 200 of the one before.
        copies: sent at once together.
    """

    body: int
    action: str
    pause_s: float = 0.0
    copies: int = 1


def lead(rng: random.Random) -> list[Sent]:
    """What one lead sends: a create, some updates, now and then a close or an update first, and repeats."""
    actions = ["on_create_lead", *["on_update_lead"] * rng.choice((0, 0, 1, 2, 3))]
    if rng.random() < 0.15:
        actions.append("on_close_lead")
    if rng.random() < 0.1 and len(actions) > 1:
        actions[0], actions[1] = actions[1], actions[0]
    found = []
    for number, action in enumerate(actions):
        copies = 2 if rng.random() < 0.15 else 1
        found.append(Sent(number, action, rng.choice((0.0, 0.0, 0.3, 2.0)), copies))
    again = [s for s in found if rng.random() < 0.15]
    rng.shuffle(again)
    return found + [Sent(s.body, s.action, rng.uniform(0.0, 8.0)) for s in again]
