"""Arguments of `renew` and `record`, typed (see `schema.calls`): what the holder of a lease does with it."""

from collections.abc import Sequence

from schema.calls import Lease
from schema.keys import GROUP, Keys
from schema.scripts import ScriptCall, script


def renew(keys: Keys, held: Sequence[tuple[Lease, str]], *, instance: str, lease_ttl_s: float) -> ScriptCall:
    """Heartbeat of leases, each with the id of the entry in work."""
    args = [GROUP, instance, str(round(lease_ttl_s * 1000))]
    for lease, entry_id in held:
        args += [lease.value, entry_id]
    return ScriptCall(script("renew"), [keys.webhooks, *(lease.key for lease, _ in held)], args)


def record(keys: Keys, notes: Sequence[tuple[Lease, str, str, str]], *, steps_ttl_s: int) -> ScriptCall:
    """Note steps: each ``(lease, event_id, name, stored text)``; the reply says 1 or 0 (lease lost) each."""
    names: list[str] = []
    args = [str(steps_ttl_s)]
    for lease, event_id, name, text in notes:
        names += [lease.key, keys.steps(event_id)]
        args += [lease.value, name, text]
    return ScriptCall(script("record"), names, args)
