"""The budget of outside calls: who goes first and how fast, as operations of `outside` (docs/budget.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from schema.events import WebhookAccepted
from schema.identity import CLOSE, UPDATE
from schema.keys import BudgetKeys
from schema.outside import Op

APIS = ("c2s", "diretrix", "work")
FOLLOW_UP = "followup"

_SLACK_RATE = 0.02
_SLACK_LEAST_S = 0.2
_LATE_SHARE = 0.25
WINDOW_S = 300.0


class Priority(IntEnum):
    """Who goes first, from the most urgent."""

    NEW = 0
    UPDATE = 1
    TRIGGER = 2
    REPLAY = 3
    RECONCILE = 4


_BY_SOURCE = {"trigger": Priority.TRIGGER, "replay": Priority.REPLAY, "reconcile": Priority.RECONCILE}


def priority_of(event: WebhookAccepted) -> Priority:
    """An event's place: by where it came from, else by what happened.

    A close costs no call, so it never waits.
    """
    if event.action == CLOSE:
        return Priority.NEW
    return _BY_SOURCE.get(event.source, Priority.UPDATE if event.action == UPDATE else Priority.NEW)


@dataclass(frozen=True, slots=True)
class Pace:
    """How calls are spaced, such that no stretch of a period ever holds more than the limit.

    Attributes:
        interval_s: between two calls; 0 for no limit.
        late_s: how late a call may be without pushing the next one back.
    """

    interval_s: float = 0.0
    late_s: float = 0.0


def pace(limit: int, period_s: float) -> Pace:
    """The pace of ``limit`` calls per ``period_s``; a limit of 0 is none.

    The slack (2 % of the period, at least 0.2 s) is what delays on the way to the API may differ by: a
    quarter of it goes to callers that are late, the rest to the network.
    """
    if not limit:
        return Pace()
    slack_s = max(period_s * _SLACK_RATE, _SLACK_LEAST_S)
    return Pace((period_s + slack_s) / limit, slack_s * _LATE_SHARE)


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer to a caller.

    Attributes:
        state: ``go``, ``wait`` (ask again then) or ``open`` (the breaker lets nobody through).
        wait_s: seconds, where not ``go``.
        probe: this call decides whether the breaker closes.
    """

    state: Literal["go", "wait", "open"]
    wait_s: float = 0.0
    probe: bool = False


def ask(
    api: str,
    ticket: str,
    priority: Priority,
    spacing: Pace,
    *,
    probe_life_s: float,
    after_look: bool = False,
) -> Op:
    """Ask for a turn; the same ticket until it is given.

    Args:
        api: to be called.
        ticket: of the caller, unlike any other.
        priority: its place.
        spacing: of the API's calls.
        probe_life_s: longest that a probe may take.
        after_look: only where the look just before it says that the answer is to be fetched.
    """
    times = (spacing.interval_s, spacing.late_s, probe_life_s, WINDOW_S / 2)
    texts = [ticket, str(int(priority)), *(f"{seconds * 1000:.3f}" for seconds in times)]
    return Op("turn", BudgetKeys(api).all, [*texts, "1" if after_look else "0"])


def read_ask(reply: Sequence[Any]) -> Turn | None:
    """The turn; None where it was asked for after a look and is not needed."""
    state = reply[0].decode()
    if state == "none":
        return None
    number = int(reply[1])
    return Turn("go", probe=number == 1) if state == "go" else Turn(state, wait_s=number / 1000)


def passing(api: str, calls: int) -> Op:
    """Tell of calls to an API without a limit that took no turn; the reply says (1) whether more may."""
    return Op("pass", [BudgetKeys(api).budget], [str(calls), f"{WINDOW_S * 500:.0f}"])


def leave(api: str, ticket: str) -> Op:
    """The caller was cancelled: it waits no more."""
    keys = BudgetKeys(api)
    return Op("leave", [keys.row, keys.seen], [ticket])


def pause(api: str, seconds: float) -> Op:
    """No call of the fleet before ``seconds`` from now."""
    return Op("pause", [BudgetKeys(api).budget], [f"{seconds * 1000:.0f}"])


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a circuit breaker opens, and for how long.

    Attributes:
        rate: of the calls of the last five minutes, that must have failed.
        failures: the least number of them.
        open_s: before a probe; doubled by each probe that fails, up to ``open_max_s``.
    """

    rate: float
    failures: int
    open_s: float
    open_max_s: float


@dataclass(frozen=True, slots=True)
class Turned:
    """What a note did to the breaker.

    Attributes:
        now: it opened (or closed) by this very note.
        open_s: seconds until it lets a probe through; 0 where it is closed.
    """

    now: bool
    open_s: float


def failed(api: str, ticket: str, policy: BreakerPolicy) -> Op:
    """A call failed; the reply says whether the breaker is open now."""
    p = policy
    times = (f"{seconds * 1000:.0f}" for seconds in (p.open_s, p.open_max_s, WINDOW_S / 2))
    return Op("bad", [BudgetKeys(api).budget], [ticket, str(p.rate), str(p.failures), *times])


def mended(api: str, ticket: str) -> Op:
    """A probe succeeded."""
    return Op("good", [BudgetKeys(api).budget], [ticket])


def read_note(reply: Sequence[Any]) -> Turned:
    return Turned(reply[0] == 1, int(reply[1]) / 1000)
