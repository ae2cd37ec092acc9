"""The one place through which personal data passes on its way into and out of storage.

``PlainCodec`` keeps text as it is. Sealing (``PAYLOAD_KEYS``) is another implementation of the same
protocol, so nothing else changes when it comes.
"""

from typing import Protocol


class PayloadCodec(Protocol):
    """Seals and opens one field of one event; ``field`` and ``event_id`` bind the sealed text."""

    def seal(self, event_id: str, field: str, clear: str) -> str:
        """The stored form of ``clear``; empty text stays empty."""
        ...

    def open(self, event_id: str, field: str, stored: str) -> str:
        """The clear text of a stored form.

        Raises:
            CodecError: it was sealed with a key that is not at hand, or for another event or field.
        """
        ...


class PlainCodec:
    """Everything in clear, for machines without ``PAYLOAD_KEYS``."""

    def seal(self, event_id: str, field: str, clear: str) -> str:  # noqa: ARG002 -- the protocol's signature
        return clear

    def open(self, event_id: str, field: str, stored: str) -> str:  # noqa: ARG002
        return stored
