"""Arguments and reply of the script `trim`."""

from collections.abc import Sequence
from dataclasses import dataclass

from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script


@dataclass(frozen=True, slots=True)
class Trimmed:
    """How many entries each stream lost."""

    webhooks: int
    outcomes: int
    dead: int


def trim(
    keys: Keys,
    *,
    keep: int,
    webhooks: str,
    outcomes: str,
    dead_before_ms: int | None = None,
    old_webhooks: str = "",
    old_outcomes: str = "",
) -> ScriptCall:
    """Take what is archived and needed no more from the streams of a partition.

    Args:
        keys: of the partition.
        keep: newest entries of each stream that stay.
        webhooks: the committed checkpoint of that stream, or empty where it has none.
        outcomes: likewise.
        dead_before_ms: dead letters older than this (epoch) go, too; None keeps them.
        old_webhooks: what lies below this id goes even if it is among the newest; empty: nothing does.
        old_outcomes: likewise.
    """
    dead = "" if dead_before_ms is None else str(dead_before_ms)
    args = [str(keep), GROUP, webhooks, outcomes, dead, old_webhooks, old_outcomes]
    return ScriptCall(script("trim"), [keys.webhooks, keys.outcomes, keys.dead], args)


def read_trim(reply: Sequence[int]) -> Trimmed:
    return Trimmed(*reply)
