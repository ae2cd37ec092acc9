"""The one place through which personal data passes on its way into and out of storage.

``PlainCodec`` keeps text as it is; sealing (`ops.seal`, with ``PAYLOAD_KEYS``) is another implementation of
the same protocol. A process decides which where it is put together: ``ops.seal.codec_of(settings)``.
"""

from typing import Protocol

from schema.errors import KeyMissing

SEALED = "sealed:"  # how every sealed text begins; no JSON and no message of ours does


class PayloadCodec(Protocol):
    """Seals and opens one field of one event; ``field`` and ``event_id`` bind the sealed text."""

    def seal(self, event_id: str, field: str, clear: str) -> str:
        """The stored form of ``clear``; empty text stays empty."""
        ...

    def open(self, event_id: str, field: str, stored: str) -> str:
        """The clear text of a stored form; text from before there were keys is clear already.

        Raises:
            KeyMissing: it was sealed with a key that is not at hand.
            CodecError: it was changed, or sealed for another event or field.
        """
        ...


class PlainCodec:
    """Everything in clear, for machines without ``PAYLOAD_KEYS``."""

    def seal(self, event_id: str, field: str, clear: str) -> str:  # noqa: ARG002 -- the protocol's signature
        return clear

    def open(self, event_id: str, field: str, stored: str) -> str:  # noqa: ARG002
        if stored.startswith(SEALED):
            raise KeyMissing("sealed, and no PAYLOAD_KEYS are set here: set those it was sealed with")
        return stored
