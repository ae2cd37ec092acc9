"""Faults on order: what goes wrong with which call, how often.

Which kinds keep a call from having its effect, and which only spoil the answer:

=================  =========================================================================
no effect          ``error``, ``timeout``, ``reset``, ``429``, ``unauthorized``, ``html``, ``huge``
effect, no answer  ``lost_reply``
effect, bad answer ``slow``, ``list``, ``nulls``, ``strings``
=================  =========================================================================
"""

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal[
    "error",
    "timeout",
    "reset",
    "lost_reply",
    "slow",
    "429",
    "html",
    "huge",
    "list",
    "nulls",
    "strings",
    "unauthorized",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault on order.

    Attributes:
        target: a call (``c2s.create_message``) or a whole API (``c2s``).
        status: what ``error`` answers.
        times: how many more calls it hits; None for all until it is cleared.
        probability: of hitting a call that it could hit, 0 to 1.
        seconds: how long ``slow`` waits.
        retry_after: the ``Retry-After`` of ``429``, in seconds.
    """

    target: str
    kind: Kind
    status: int = 500
    times: int | None = None
    probability: float = 1.0
    seconds: float = 5.0
    retry_after: int = 2


class FaultBook:
    """The faults on order, oldest first; at most one hits a call."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        self.faults.append(fault)

    def clear(self) -> None:
        """Cancel every fault."""
        self.faults.clear()

    def take(self, call: str) -> Fault | None:
        """The fault that hits this call, if any; it then has one time less."""
        api = call.partition(".")[0]
        for index, fault in enumerate(self.faults):
            if fault.target in (call, api) and self.rng.random() < fault.probability:
                self._spend(index, fault)
                return fault
        return None

    def _spend(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times > 1:
            self.faults[index] = replace(fault, times=fault.times - 1)
        else:
            del self.faults[index]


def spoiled(kind: Kind, data: Any) -> Any:
    """What a call answers instead of ``data`` under ``list``, ``nulls`` or ``strings``."""
    if kind == "list":
        return ["unexpected", 1, None, [data]]
    if isinstance(data, dict):
        return {name: spoiled(kind, value) for name, value in data.items()}
    if isinstance(data, list):
        return [spoiled(kind, value) for value in data]
    return None if kind == "nulls" else f"?{data}"
