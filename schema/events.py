"""The events: what the streams hold, typed, with one encode and one decode.

Stored form: a flat mapping of text to text, readable with ``redis-cli XRANGE``. ``webhook_accepted``
is the `webhooks` entry itself and carries no ``type``; all other types live in `outcomes`. Every
outcome carries lead, action and ``received_at``, enough to make its row without having seen any other
event. Fields that hold personal data (``payload``, ``message``, ``enrichment``) pass through the codec
before they get here: this module sees sealed text only.

They are msgspec's structs: made from text in a fifth of the time that a dataclass takes, for every entry is.
msgspec's classes are abstract base classes, of which `isinstance` takes long to say no: what looks at every
entry asks for ``type(event)``.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, final

from msgspec import Struct, ValidationError, convert
from msgspec.structs import astuple, fields

from schema.errors import LeadstreamError
from schema.times import to_text


class EventError(LeadstreamError):
    """A stream entry does not decode into an event; it was not written by this code."""


@final
class WebhookAccepted(Struct, frozen=True, kw_only=True, gc=False):
    """A webhook was stored: the entry of the `webhooks` stream.

    Attributes:
        version: what tells two updates of a lead apart (a time or a hash).
        source: ``webhook``, ``trigger``, ``reconcile`` or ``replay``.
        received_at: when the door took it; kept through spool and replay.
        traceparent: W3C trace context, or empty.
        payload: the raw body (or batch element), as the codec stores it.
    """

    type: ClassVar[str] = "webhook_accepted"
    event_id: str
    lead_id: str
    action: str
    version: str
    source: str
    received_at: datetime
    traceparent: str = ""
    payload: str = ""


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What every fact of the `outcomes` stream carries.

    Attributes:
        at: when it became true, by Redis time (set by the script that appends it).
        attempt: number of the attempt within its series, from 1; 0 where none was made.
        fence: the lease's fence (see `schema.status`); 0 where no lease was held.
        instance: who says so.
        traceparent: W3C trace context of the event's acceptance, on the end of an attempt; or empty.
    """

    type: ClassVar[str]
    event_id: str
    lead_id: str
    action: str
    received_at: datetime
    at: datetime | None = None
    attempt: int = 0
    fence: int = 0
    instance: str = ""
    traceparent: str = ""


class WebhookDuplicated(Outcome, frozen=True, kw_only=True, gc=False):
    """The same webhook came again; ``received_at`` is this delivery's time."""

    type: ClassVar[str] = "webhook_duplicated"
    source: str = ""
    payload: str = ""


class ProcessingStarted(Outcome, frozen=True, kw_only=True, gc=False):
    """An instance took the lead's lease and began an attempt."""

    type: ClassVar[str] = "processing_started"
    entry_id: str = ""


class AttemptFailed(Outcome, frozen=True, kw_only=True, gc=False):
    """The attempt ended without an end of the event: it waits for ``retry_at``.

    Attributes:
        counted: 1 when it spent an attempt, 0 when the outside world said *wait*.
        calls: JSON object, calls spent per outside API; empty where none was.
    """

    type: ClassVar[str] = "attempt_failed"
    step: str = ""
    code: str = ""
    api: str = ""
    error: str = ""
    retry_at: datetime | None = None
    counted: int = 1
    calls: str = ""


class LeadProcessed(Outcome, frozen=True, kw_only=True, gc=False):
    """The event reached its good end.

    Attributes:
        result: ``sent``, ``sent_without`` (its profile follows), ``no_match``, ``dry_run``, ``recorded``,
            ``unchanged`` or ``superseded``.
        message_ref: the marker of the message, or empty where none was sent.
        timings: JSON object, milliseconds spent per step.
        calls: JSON object, calls spent per outside API.
        contact: fingerprint of the phone and e-mail that the lead had (see `ops.fingerprint`), or empty.
        superseded_by: event id of the newer update, where ``superseded``.
        message: the text sent or prepared, as the codec stores it.
        enrichment: what was found (allow-listed), as the codec stores it.
    """

    type: ClassVar[str] = "lead_processed"
    result: str = ""
    message_ref: str = ""
    timings: str = ""
    calls: str = ""
    contact: str = ""
    superseded_by: str = ""
    message: str = ""
    enrichment: str = ""


class LeadDeadLettered(Outcome, frozen=True, kw_only=True, gc=False):
    """The event was given up; its entry is in the `dead` stream. ``calls`` as of `AttemptFailed`."""

    type: ClassVar[str] = "lead_dead_lettered"
    step: str = ""
    code: str = ""
    api: str = ""
    error: str = ""
    calls: str = ""


class EventReplayed(Outcome, frozen=True, kw_only=True, gc=False):
    """An operator (or `recover`) put the event back to work: a new series of attempts begins.

    Attributes:
        actor: the operator, where they could not be noted in ``operator_actions`` before: the projector does.
    """

    type: ClassVar[str] = "event_replayed"
    entry_id: str = ""
    reason: str = ""
    actor: str = ""


class EventIgnored(Outcome, frozen=True, kw_only=True, gc=False):
    """The webhook is kept in the record but needs no work.

    Attributes:
        reason: ``unknown_action``, ``already_final`` or ``erased`` (with a fence: it ends work in flight).
    """

    type: ClassVar[str] = "event_ignored"
    reason: str = ""
    source: str = ""
    payload: str = ""


Event = WebhookAccepted | Outcome

_OUTCOMES: tuple[type[Outcome], ...] = (
    WebhookDuplicated,
    ProcessingStarted,
    AttemptFailed,
    LeadProcessed,
    LeadDeadLettered,
    EventReplayed,
    EventIgnored,
)


EVENTS: tuple[type[Event], ...] = (WebhookAccepted, *_OUTCOMES)
CLASSES: dict[str, type[Event]] = {cls.type: cls for cls in EVENTS}

# Of each class: the names of its fields, and whether an empty text is left out.
_FIELDS: dict[type[Event], tuple[tuple[str, bool], ...]] = {
    cls: tuple((f.name, f.default == "") for f in fields(cls)) for cls in EVENTS
}
# One text for each name of a field, not one for each entry's.
_NAMES = {name.encode(): name for cls in EVENTS for name in ("type", *cls.__struct_fields__)}


def encode(event: Event) -> dict[str, str]:
    """The event as flat text fields, in declaration order; empty optional fields are left out.

    ``at`` is left out too where it is None: the appending script stamps it with Redis time.
    """
    texts = texts_of(event)
    return dict(zip(texts[::2], texts[1::2], strict=True))


def texts_of(event: Event) -> list[str]:
    """The same as a list, names and values by turns."""
    texts = [] if isinstance(event, WebhookAccepted) else ["type", event.type]
    for (name, optional), value in zip(_FIELDS[type(event)], astuple(event), strict=True):
        if type(value) is str:
            if value or not optional:
                texts += (name, value)
        elif value is not None:
            texts += (name, to_text(value) if isinstance(value, datetime) else str(value))
    return texts


def decode(flat: Mapping[str, str]) -> Event:
    """The event of a stream entry's fields; fields this version does not know are passed over.

    Raises:
        EventError: an unknown type, or a required field missing or malformed.
    """
    kind = flat.get("type", WebhookAccepted.type)
    try:
        return convert(flat, CLASSES[kind], strict=False)  # numbers and times are text here
    except (KeyError, ValidationError) as error:
        raise EventError(f"stream entry of type {kind!r} does not decode: {error}") from error


def text_fields(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """A redis-py entry's fields as text.

    Raises:
        UnicodeDecodeError: some of it is not UTF-8.
    """
    return {_NAMES.get(k) or k.decode(): v.decode() for k, v in raw.items()}


def flat_fields(items: Sequence[bytes]) -> dict[str, str]:
    """The same of a flat list of names and values, as scripts reply."""
    texts = [i.decode() for i in items]
    return dict(zip(texts[::2], texts[1::2], strict=True))
