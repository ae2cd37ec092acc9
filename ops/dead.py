"""Dead letters: list, replay, discard. The stream `dead` holds each with its original webhook.

A replay keeps the event id and starts a new series of attempts; it reads the lead before it sends. The letter
is taken away only after the event is back at work: a crash between the two replays twice, which is harmless.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.redis import Client, run, translated
from ops.settings import Settings
from schema import replaying
from schema.events import WebhookAccepted, decode, text_fields
from schema.identity import dedup_key
from schema.keys import Keys
from schema.times import from_text

_PAGE = 200


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up.

    Attributes:
        letter_id: its id in the `dead` stream.
        event: the original webhook.
    """

    partition: int
    letter_id: str
    event: WebhookAccepted
    at: datetime
    attempts: int
    step: str
    code: str
    api: str
    error: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; None or empty means all."""

    event_id: str = ""
    lead_id: str = ""
    code: str = ""
    since: datetime | None = None

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (not self.event_id or letter.event.event_id == self.event_id)
            and (not self.lead_id or letter.event.lead_id == self.lead_id)
            and (not self.code or letter.code == self.code)
            and (self.since is None or letter.at >= self.since)
        )


class DeadLetters:
    """The dead letters of all partitions."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self._settings = settings

    async def found(self, wanted: Filter, after: tuple[int, str] = (0, "")) -> AsyncIterator[DeadLetter]:
        """The letters a filter takes, partition by partition, the oldest of each first.

        Args:
            wanted: the filter.
            after: partition and id of a letter: only those behind it.

        Raises:
            StorageUnavailable: Redis is away.
        """
        for partition in range(after[0], self._settings.partitions.served):
            start = f"({after[1]}" if after[1] and partition == after[0] else "-"
            while True:
                with translated("listing dead letters"):
                    rows: Any = await self.client.xrange(Keys(partition).dead, start, "+", count=_PAGE)
                for letter_id, fields in rows:
                    letter = _letter(partition, letter_id.decode(), text_fields(fields))
                    if wanted.takes(letter):
                        yield letter
                if len(rows) < _PAGE:
                    break
                start = f"({rows[-1][0].decode()}"

    async def replay(self, letter: DeadLetter, reason: str, unnoted: str = "") -> str:
        """Put the event back to work, in its lead's home; its new entry id.

        Args:
            letter: the dead letter.
            reason: why.
            unnoted: who does, where that is not noted yet: it is then noted from the event.

        Raises:
            StorageUnavailable: Redis is away; replaying again is harmless.
        """
        event, s = letter.event, self._settings
        keys = Keys(s.partitions.home(event.lead_id))
        again = WebhookAccepted(
            event_id=event.event_id,
            lead_id=event.lead_id,
            action=event.action,
            version=event.version,
            source="replay",
            received_at=event.received_at,
            traceparent=event.traceparent,
            payload=event.payload,
        )
        call = replaying.replay(
            keys,
            again,
            dedup_key(event.lead_id, event.action, event.version),
            dedup_ttl_s=s.dedup_ttl_secs,
            steps_ttl_s=s.steps_ttl_secs,
            instance=s.instance,
            reason=reason,
            lost="" if keys.partition == letter.partition else replaying.ELSEWHERE,
            actor=unnoted,
        )
        entry_id: bytes = await run(self.client, call)
        await self.discard(letter)
        return entry_id.decode()

    async def discard(self, letter: DeadLetter) -> None:
        """Take the letter away; the event stays `failed` in the record."""
        with translated("discarding a dead letter"):
            await self.client.xdel(Keys(letter.partition).dead, letter.letter_id)


def _letter(partition: int, letter_id: str, fields: dict[str, str]) -> DeadLetter:
    event = decode({k: v for k, v in fields.items() if k != "type"})
    assert isinstance(event, WebhookAccepted)  # noqa: S101 -- an entry without type is one
    return DeadLetter(
        partition,
        letter_id,
        event,
        from_text(fields["at"]),
        int(fields["attempts"]),
        fields.get("step", ""),
        fields.get("code", ""),
        fields.get("api", ""),
        fields.get("error", ""),
    )
