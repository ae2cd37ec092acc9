"""Arguments and replies of `tick` and `sweep`, typed (see `schema.calls`): what others left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schema.events import flat_fields
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick found.

    Attributes:
        entries: claimed for this instance: raw ``(entry id, fields)``.
        lost: ids of pending entries that are no longer in the stream.
        cursor: where the next tick's XAUTOCLAIM goes on.
        pending: entries in the group's pending entries list.
        wait_s: seconds until there may be more to do; None for *not before new work arrives*.
        parked: entries of low priority that still wait for a slot.
    """

    entries: list[tuple[str, dict[str, str]]]
    lost: tuple[str, ...]
    cursor: str
    pending: int
    wait_s: float | None
    parked: int = 0


def tick(
    keys: Keys, *, instance: str, min_idle_s: float, most: int, cursor: str, low_slots: int = 1_000
) -> ScriptCall:
    """Claim due retries, at most ``low_slots`` parked entries, and what crashed owners left."""
    args = [GROUP, instance, str(round(min_idle_s * 1000)), str(most), cursor, str(low_slots)]
    return ScriptCall(script("tick"), [keys.webhooks, keys.retries, keys.parked], args)


def read_tick(reply: Sequence[Any]) -> Ticked:
    entries = [(row[0].decode(), flat_fields(row[1])) for row in reply[0]]
    wait_ms = int(reply[4])
    wait_s = None if wait_ms < 0 else wait_ms / 1000
    return Ticked(
        entries, tuple(i.decode() for i in reply[1]), reply[2].decode(), int(reply[3]), wait_s, int(reply[5])
    )


def sweep(keys: Keys, *, instance: str, min_idle_s: float) -> ScriptCall:
    """Strike idle consumers without pending entries from the group; the reply is how many."""
    return ScriptCall(script("sweep"), [keys.webhooks], [GROUP, instance, str(round(min_idle_s * 1000))])
