"""Who is who: dedup keys, event ids and the marker that makes a repeated send detectable.

The event id is a UUIDv5 of the dedup key in a fixed namespace, so the same webhook has the same id
through spool, retry, replay, reconcile and rebuild, on every machine.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

CREATE = "on_create_lead"
UPDATE = "on_update_lead"
CLOSE = "on_close_lead"
ACTIONS = frozenset({CREATE, UPDATE, CLOSE})

# uuid5(NAMESPACE_URL, "urn:c2s-leadstream:events"), written out: it must never change.
EVENT_NAMESPACE = UUID("17a174c7-0dc6-560c-a7b5-6795213a491c")

_IN_NAMESPACE = hashlib.sha1(EVENT_NAMESPACE.bytes)  # noqa: S324 -- RFC 9562 §5.5

_LEAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", re.ASCII)
_MARKER_HEX = 12
_FORCED = "forced-"


def is_lead_id(text: str) -> bool:
    """Whether ``text`` may name a lead: 1-128 characters, no spaces, braces or control characters.

    Braces are refused because the id becomes part of Redis keys, whose hash tag is in braces.
    """
    return _LEAD_ID.fullmatch(text) is not None


def version_of_body(payload: bytes) -> str:
    """The version of an update that carries no time: a hash of its bytes."""
    return "sha256-" + hashlib.sha256(payload).hexdigest()[:32]


def forced_version(moment: datetime) -> str:
    """The version of an event that the old trigger was told to force: one per lead and minute."""
    return f"{_FORCED}{moment.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def is_forced(version: str) -> bool:
    """Whether somebody asked for this event though the lead may have a message already."""
    return version.startswith(_FORCED)


def dedup_key(lead_id: str, action: str, version: str) -> str:
    """What makes two webhooks the same one.

    ``lead:action`` for create and close (the seed's rule), ``lead:action:version`` for update and
    for actions we do not know. A forced event is itself alone, whatever its action.
    """
    if action in (CREATE, CLOSE) and not is_forced(version):
        return f"{lead_id}:{action}"
    return f"{lead_id}:{action}:{version}"


def event_id_of(key: str) -> str:
    """The event id of a dedup key, as UUID text: ``uuid5(EVENT_NAMESPACE, key)``, in a third of its time."""
    sha1 = _IN_NAMESPACE.copy()
    sha1.update(key.encode())
    digest = bytearray(sha1.digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def marker(event_id: str) -> str:
    """The last line of a message: ``ref: `` and the first 12 hex digits of the event id (C2S.md §4)."""
    return f"ref: {event_id.replace('-', '')[:_MARKER_HEX]}"


def partition_of(lead_id: str, partitions: int) -> int:
    """The partition that holds all keys of a lead: ``crc32(lead_id) % partitions``."""
    return zlib.crc32(lead_id.encode()) % partitions if partitions > 1 else 0


@dataclass(frozen=True, slots=True)
class Partitions:
    """Where leads are, also while the number of partitions is being changed (docs/scaling.md).

    Attributes:
        number: by which a lead's new entries are placed.
        other: the number before or after, by which other processes may still place them; 0 for none.
    """

    number: int
    other: int = 0

    @property
    def served(self) -> int:
        """How many partitions may hold something."""
        return max(self.number, self.other)

    def home(self, lead_id: str) -> int:
        """The partition that a lead's new entries go to."""
        return partition_of(lead_id, self.number)

    def places(self, lead_id: str) -> tuple[int, ...]:
        """Every partition that may hold something of a lead, its home first."""
        home = self.home(lead_id)
        other = partition_of(lead_id, self.other) if self.other else home
        return (home,) if other == home else (home, other)
