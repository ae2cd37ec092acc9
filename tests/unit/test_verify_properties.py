"""What holds of verification, whatever comes: only the right key opens; all else is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingress.problems import AuthError
from ingress.verify import (
    SIGNATURE,
    STANDARD_ID,
    STANDARD_SIGNATURE,
    STANDARD_TIMESTAMP,
    TIMESTAMP,
    Verified,
    Verifier,
    verifier_of,
)
from ops.settings import load_settings
from ops.sign import sign, sign_standard

NOW = datetime(2026, 1, 21, 10, 30, tzinfo=UTC)
SECRET, PREVIOUS = "current", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# Headers as aiohttp hands them out: bytes that are no UTF-8 come as lone surrogates.
HEADER = st.binary(max_size=80).map(lambda b: b.decode("utf-8", "surrogateescape"))


def verifier() -> Verifier:
    values = {"C2S_WEBHOOK_SECRET": SECRET, "C2S_WEBHOOK_SECRET_PREVIOUS": PREVIOUS}
    values |= {"C2S_WEBHOOK_TOKEN": "token", "C2S_WEBHOOK_TOKEN_PREVIOUS": "token-before"}
    return verifier_of(load_settings("ingress", values))


VERIFIER = verifier()


def refused(headers: dict[str, str], raw: bytes) -> str:
    with pytest.raises(AuthError) as raised:
        VERIFIER.signed(headers, raw)
    assert raised.value.status in (400, 401)
    return raised.value.code


@given(st.binary(max_size=200), st.booleans(), st.sampled_from(["", "sha256=", "SHA256="]), st.booleans())
def test_the_right_signature_vouches(raw: bytes, previous: bool, prefix: str, upper: bool) -> None:
    """Whatever the body, by either secret, in any spelling; and it says which secret it was."""
    text = sign(PREVIOUS if previous else SECRET, raw)
    headers = {SIGNATURE: prefix + (text.upper() if upper else text)}
    assert VERIFIER.signed(headers, raw) == Verified("signature", previous)


@given(st.binary(max_size=100), st.binary(max_size=100), st.text(max_size=20))
def test_no_other_signature_does(raw: bytes, other: bytes, secret: str) -> None:
    """Another body or another secret is refused."""
    assume(raw != other)
    assume(secret not in (SECRET, PREVIOUS))
    assert refused({SIGNATURE: sign(SECRET, other)}, raw) == "signature_invalid"
    assert refused({SIGNATURE: sign(secret, raw)}, raw) == "signature_invalid"


@given(st.binary(min_size=1, max_size=60), st.integers(0, 255), st.integers(0, 2**31))
def test_one_changed_bit_is_refused(raw: bytes, bit: int, at: int) -> None:
    """Of the signature, or of the body."""
    text = sign(SECRET, raw)
    flipped = f"{int(text, 16) ^ (1 << bit):064x}"
    assert refused({SIGNATURE: flipped}, raw) == "signature_invalid"
    body = bytearray(raw)
    body[at % len(raw)] ^= 1 << (bit % 8)
    assert refused({SIGNATURE: text}, bytes(body)) == "signature_invalid"


@given(
    st.from_regex(r"[!-~]{1,40}", fullmatch=True), st.integers(10**9, 4 * 10**9), st.binary(max_size=100),
    st.booleans(), st.lists(st.sampled_from(["v1,AAAA", "v2,x", "v1a,y", "", "v1," + "A" * 43 + "="])),
)  # fmt: skip
def test_standard_webhooks(message: str, at: int, raw: bytes, previous: bool, others: list[str]) -> None:
    """One right signature among any others vouches, for this id, time and body only."""
    secret = PREVIOUS if previous else SECRET
    headers = {STANDARD_ID: message, STANDARD_TIMESTAMP: str(at)}
    headers[STANDARD_SIGNATURE] = " ".join([*others, sign_standard(secret, message, str(at), raw)])
    verified = VERIFIER.signed(headers, raw)
    assert (verified.by, verified.previous) == ("standard", previous)
    assert verified.sent_at == datetime.fromtimestamp(at, UTC)
    for changed in ({STANDARD_ID: message + "x"}, {STANDARD_TIMESTAMP: str(at + 1)}):
        assert refused(headers | changed, raw) == "signature_invalid"
    assert refused(headers, raw + b" ") == "signature_invalid"


@given(
    st.dictionaries(
        st.sampled_from([SIGNATURE, TIMESTAMP, STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE]), HEADER
    ),
    st.binary(max_size=50),
)
def test_any_headers(headers: dict[str, str], raw: bytes) -> None:
    """Without the key nothing vouches, whatever the headers hold; the refusal has a known code."""
    assert refused(headers, raw) in ("signature_missing", "signature_malformed", "signature_invalid")


@given(HEADER)
def test_a_malformed_time_of_a_signed_webhook(text: str) -> None:
    """A time in a header is a time, or 400; never anything else."""
    headers = {SIGNATURE: sign(SECRET, b"{}"), TIMESTAMP: text}
    try:
        assert VERIFIER.signed(headers, b"{}").sent_at is not None
    except AuthError as error:
        assert (error.status, error.code) == (400, "timestamp_malformed")  # noqa: PT017 -- either may happen


@given(HEADER)
def test_tokens(text: str) -> None:
    """Only the two tokens open the address."""
    assume(text not in ("token", "token-before"))
    assert VERIFIER.token("token") == Verified("token", False)
    assert VERIFIER.token("token-before") == Verified("token", True)
    for wrong in (text, "token" + text[:1] + "x", ""):
        with pytest.raises(AuthError) as raised:
            VERIFIER.token(wrong)
        assert (raised.value.status, raised.value.code) == (404, "not_found")


@given(st.integers(-(10**7), 10**7))
def test_the_window(seconds: int) -> None:
    """A time is off exactly when it is more than 300 s away, either way."""
    off = VERIFIER.off_by(Verified("signature"), NOW + timedelta(seconds=seconds), NOW)
    assert (off is not None) is (abs(seconds) > 300)
    assert VERIFIER.off_by(Verified("signature"), None, NOW) is None
