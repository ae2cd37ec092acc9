"""Arguments and reply of the script `erase`, and the mark on the dedup keys of erased events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script

ERASED = "erased"  # the reason of the outcome that ends an erased event
MARK = "|erased"  # after the event id in its dedup key (append.lua knows it)

# Fields of stream entries that may hold personal data; `contact` is a keyed hash of some.
PERSONAL = ("payload", "message", "enrichment", "contact", "error")


@dataclass(frozen=True, slots=True)
class Taken:
    """What `erase` found and took of one lead.

    Attributes:
        working: an instance held the lead's lease.
        event_ids: of the webhooks entries.
    """

    working: bool
    event_ids: tuple[str, ...]
    entries: int
    letters: int


def erase(
    keys: Keys,
    lead_id: str,
    *,
    instance: str,
    erasure_id: str,
    entry_ids: Sequence[str],
    letter_ids: Sequence[str],
    event_ids: Sequence[str],
    queue: bool,
) -> ScriptCall:
    """Take a lead's entries away.

    Args:
        keys: of the lead's partition.
        lead_id: the lead.
        instance: who says so.
        erasure_id: kept with the tombstones.
        entry_ids: entries of `webhooks` that go.
        letter_ids: entries of `dead` that go.
        event_ids: events to be remembered as erased, whatever the streams hold of them.
        queue: all that is in the lead's queue goes, too.
    """
    names = [keys.webhooks, keys.outcomes, keys.retries, keys.parked, keys.dead, keys.fence, keys.erased]
    names += [keys.lease(lead_id), keys.queue(lead_id), keys.state(lead_id)]
    args = [GROUP, instance, lead_id, "1" if queue else "0", erasure_id]
    args += [str(len(entry_ids)), *entry_ids, str(len(letter_ids)), *letter_ids, *event_ids]
    return ScriptCall(script("erase"), names, args)


def read_erase(reply: Sequence[Any]) -> Taken:
    working, found, entries, letters = reply
    return Taken(working == 1, tuple(e.decode() for e in found), entries, letters)
