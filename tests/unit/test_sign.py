"""Signatures against vectors that are not of our making: RFC 4231, OpenSSL, Standard Webhooks."""

import base64

import pytest

from ops import sign

BODY = b'{"lead_id":"test-lead-001","action":"on_create_lead","timestamp":1736899200}'
# printf '%s' "$BODY" | openssl dgst -sha256 -hmac seed-secret
OPENSSL_HEX = "902b6f1725cb35d3af4a0050a66600781c013e210aa17d31f84370e9cd0ac137"

# The example of the Standard Webhooks reference libraries' test suites.
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_TIME = "1614265330"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def repr_short(text: str) -> str:
    return ascii(text[:12])


def test_rfc_4231_case_2() -> None:
    """HMAC-SHA256 is the one of RFC 4231."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign.sign("Jefe", b"what do ya want for nothing?") == expected


def test_openssl_signs_the_same() -> None:
    """What `openssl dgst -hmac` prints is our signature."""
    assert sign.sign("seed-secret", BODY) == OPENSSL_HEX


@pytest.mark.parametrize("spelt", [OPENSSL_HEX, OPENSSL_HEX.upper(), f"sha256={OPENSSL_HEX}"])
def test_spellings_of_a_right_signature(spelt: str) -> None:
    """Either case and an optional prefix are accepted."""
    assert sign.verify("seed-secret", BODY, spelt)


@pytest.mark.parametrize(
    "given",
    [
        *("", "sha256=", OPENSSL_HEX[:-1], OPENSSL_HEX + "0", OPENSSL_HEX + "\n", " " + OPENSSL_HEX),
        *("zz" + OPENSSL_HEX[2:], "é" * 64, "٣" * 64, "\udcff" * 64, "a" * 1_000_000),
    ],
    ids=repr_short,
)
def test_malformed_signatures_are_wrong_not_errors(given: str) -> None:
    """Whatever the header holds, verifying answers no instead of raising."""
    assert sign.read_signature(given) is None
    assert not sign.verify("seed-secret", BODY, given)


def test_wrong_secret_or_changed_body() -> None:
    """Another secret or one changed byte is refused."""
    assert not sign.verify("other", BODY, OPENSSL_HEX)
    assert not sign.verify("seed-secret", BODY + b" ", OPENSSL_HEX)


def test_standard_webhooks_reference_vector() -> None:
    """The reference libraries' example gives the same signature."""
    made = sign.sign_standard(STANDARD_SECRET, STANDARD_ID, STANDARD_TIME, STANDARD_BODY)
    assert made == STANDARD_SIGNATURE


def test_one_of_several_standard_signatures_suffices() -> None:
    """Among other versions, wrong and malformed ones, one right v1 is found."""
    wrong = "v1," + base64.b64encode(bytes(32)).decode()
    header = f"v1a,xyz {wrong} v1,###  {STANDARD_SIGNATURE} nonsense"
    given = sign.read_standard(header)
    content = sign.standard_content(STANDARD_ID.encode(), STANDARD_TIME.encode(), STANDARD_BODY)
    expected = sign.digest(sign.standard_key(STANDARD_SECRET), content)
    assert len(given) == 2
    assert sign.any_equal(expected, given)
    assert not sign.any_equal(expected, given[:1])
    assert not sign.any_equal(expected, [])


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "whsec_é"])
def test_malformed_standard_secret(secret: str) -> None:
    """A whsec_ secret that is not base64 is refused where it is read, without showing it."""
    with pytest.raises(ValueError, match="whsec_") as raised:
        sign.standard_key(secret)
    assert "!!!" not in str(raised.value)


def test_plain_secret_is_its_own_characters() -> None:
    """Without whsec_ the secret is used as it stands."""
    assert sign.standard_key("plain") == b"plain"
