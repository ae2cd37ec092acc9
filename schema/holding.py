"""Arguments of `renew` and `record`, typed (see `schema.calls`): what the holder of a lease does with it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schema.calls import Lease
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script


def renew(keys: Keys, held: Sequence[tuple[Lease, str]], *, instance: str, lease_ttl_s: float) -> ScriptCall:
    """Heartbeat of leases, each with the id of the entry in work."""
    args = [GROUP, instance, str(round(lease_ttl_s * 1000))]
    for lease, entry_id in held:
        args += [lease.value, entry_id]
    return ScriptCall(script("renew"), [keys.webhooks, *(lease.key for lease, _ in held)], args)


class Note(NamedTuple):
    """Steps of an event to be recorded together.

    Attributes:
        steps: stored text by name, at least one.
    """

    lease: Lease
    event_id: str
    steps: Mapping[str, str]


def record(keys: Keys, notes: Sequence[Note], *, steps_ttl_s: int) -> ScriptCall:
    """Note steps; the reply says 1 or 0 (lease lost) for each event."""
    names: list[str] = []
    args = [str(steps_ttl_s)]
    for note in notes:
        names += [note.lease.key, keys.steps(note.event_id)]
        texts = [text for pair in note.steps.items() for text in pair]
        args += [note.lease.value, str(len(texts)), *texts]
    return ScriptCall(script("record"), names, args)
