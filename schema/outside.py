"""What the fleet agrees on about calls to the outside, in one script: operations, gathered into calls.

`schema.budget` makes those of the budgets; those of the kept look-ups are here.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from schema.keys import cache_keys
from schema.scripts import ScriptCall, script


class Op(NamedTuple):
    """One operation of `schema/lua/outside.lua`."""

    verb: Literal["turn", "pass", "leave", "pause", "bad", "good", "look", "keep"]
    keys: Sequence[str]
    texts: Sequence[str]


def call(ops: Iterable[Op]) -> ScriptCall:
    """Operations in this order, in one call; the reply has one item for each."""
    keys: list[str] = []
    args: list[str] = []
    for op in ops:
        keys += op.keys
        args += (op.verb, str(len(op.texts)), *op.texts)
    return ScriptCall(script("outside"), keys, args)


class Looked(NamedTuple):
    """The answer to a look.

    Attributes:
        state: ``hit``, ``mine`` (to be fetched, and then kept) or ``wait`` (another one fetches it).
        answer: as it was kept, where ``hit``.
        wait_s: how long the other one's lock lives, where ``wait``.
    """

    state: Literal["hit", "mine", "wait"]
    answer: str = ""
    wait_s: float = 0.0


def look(name: str, token: str, lock_s: float) -> Op:
    """Whether an answer is kept, or may be fetched by who shows this token."""
    return Op("look", cache_keys(name), [token, str(round(lock_s * 1000))])


def read_look(reply: Sequence[Any]) -> Looked:
    match reply[0]:
        case b"hit":
            return Looked("hit", answer=reply[1].decode())
        case b"mine":
            return Looked("mine")
        case _:
            return Looked("wait", wait_s=int(reply[1]) / 1000)


def keep(name: str, token: str, answer: str, ttl_s: int) -> Op:
    """The look-up is over: keep its answer (empty: it failed, nothing is kept) and let others ask."""
    return Op("keep", cache_keys(name), [token, answer, str(ttl_s)])
