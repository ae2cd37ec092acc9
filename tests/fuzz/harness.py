"""What is fuzzed: any bytes go in, and only the typed refusals may come out.

Whatever does not raise is checked as well: a delivery that was made of garbage must still be one.
"""

import base64
from datetime import UTC, datetime, timedelta

import orjson

from ingress.problems import AuthError
from ingress.verify import (
    SIGNATURE,
    STANDARD_ID,
    STANDARD_SIGNATURE,
    STANDARD_TIMESTAMP,
    TIMESTAMP,
    Secret,
    Verifier,
)
from ops import sign
from schema.errors import BodyError
from schema.identity import dedup_key, event_id_of, is_lead_id
from schema.lead import lead_of
from schema.times import from_text, parse, to_text
from schema.webhook import Body, Delivery, parse_body

NOW = datetime(2025, 1, 15, tzinfo=UTC)
KEY = b"fuzzing"
VERIFIER = Verifier(
    secrets=(
        Secret(False, sign.keyed(KEY), sign.keyed(KEY)),
        Secret(True, sign.keyed(b"before"), sign.keyed(b"before")),
    ),
    tokens=((b"token", False), (b"token-before", True)),
    allow_unsigned=False,
    window=timedelta(seconds=300),
)
FIELDS = (SIGNATURE, TIMESTAMP, STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE)


def body(data: bytes) -> None:
    """Any bytes as a request body, verified or not, with and without an action of the query."""
    strict = _parsed(data, None, strict=True)
    lenient = _parsed(data, "on_create_lead", strict=False)
    if strict is not None:
        # Strictness about time only ever refuses; it changes nothing of what is taken.
        assert lenient is not None
        assert [type(e) for e in strict.elements] == [type(e) for e in lenient.elements]


def headers(data: bytes) -> None:
    """Any bytes as the headers that verification reads, and a body."""
    *lines, raw = [*data.split(b"\n", len(FIELDS)), *[b""] * len(FIELDS)][: len(FIELDS) + 1]
    values = [line.decode("utf-8", "surrogateescape") for line in lines]
    values[0] = values[0].replace("@", sign.digest(KEY, raw).hex())
    content = sign.standard_content(lines[2], lines[3], raw)
    right = "v1," + base64.b64encode(sign.digest(KEY, content)).decode()
    values[4] = values[4].replace("@", right)
    given = {name: value for name, value in zip(FIELDS, values, strict=True) if value}
    try:
        verified = VERIFIER.signed(given, raw)
    except AuthError as error:
        assert error.status in (400, 401)
    else:
        # The key is known to nobody but this harness: what was taken was marked with `@`.
        assert b"@" in lines[0] + lines[4]
        VERIFIER.off_by(verified, verified.sent_at, NOW)
    try:
        assert VERIFIER.token(values[0]).by == "token"
    except AuthError as error:
        assert error.status == 404
    for value in values:
        _time(value)


def _parsed(data: bytes, action: str | None, *, strict: bool) -> Body | None:
    try:
        parsed = parse_body(data, default_action=action, strict_time=strict)
    except BodyError as error:
        assert error.code
        return None
    for element in parsed.elements:
        if isinstance(element, Delivery):
            _sound(element, data)
    return parsed


def _sound(delivery: Delivery, data: bytes) -> None:
    assert is_lead_id(delivery.lead_id)
    assert delivery.action
    assert delivery.action.isprintable()
    assert delivery.payload.encode() in data
    assert delivery.dedup_key == dedup_key(delivery.lead_id, delivery.action, delivery.version)
    assert delivery.event_id == event_id_of(delivery.dedup_key)
    lead = lead_of(delivery.lead_id, orjson.loads(delivery.payload))
    assert lead.customer is None or lead.customer.email or lead.customer.phones


def _time(text: str) -> None:
    try:
        moment = parse(text)
    except ValueError:
        return
    assert from_text(to_text(moment)) == moment


TARGETS = {"body": (body, "BODIES"), "headers": (headers, "HEADERS")}
