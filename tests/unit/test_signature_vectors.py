"""Verification against vectors that our code did not make: OpenSSL's, and Standard Webhooks' own.

The Standard Webhooks vectors are those of the specification and of its reference libraries
(github.com/standard-webhooks/standard-webhooks at b2fa7b8: spec/standard-webhooks.md, "Webhook headers", and
libraries/{python/tests/test_webhooks.py,go/webhook_test.go,javascript/src/webhook.test.ts}).
"""

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from ingress.problems import AuthError
from ingress.verify import Verified, Verifier, verifier_of
from ops import sign
from ops.settings import load_settings

SEED = b'{"lead_id":"test-lead-001","action":"on_create_lead","timestamp":1736899200}'

# Each was made with OpenSSL 3.0.19, by `printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$SECRET"`.
OPENSSL = [
    ("seed-secret", SEED, "902b6f1725cb35d3af4a0050a66600781c013e210aa17d31f84370e9cd0ac137"),
    ("seed-secret", b"", "c48c7b4205cafc010391ebacd2f54f0fc564395f8c28bde174dc00581bfe78c6"),
    (
        '\u00e7have "quoted"',
        '{"name":"Jo\u00e3o","x":"\\u0000"}\n'.encode(),
        "af10670efbfe40da5140d79ed2da0d3b5b0560c9a766a1b3d1d0e6e9fa91d994",
    ),
    # A body as large as is taken: `head -c 262144 /dev/zero | openssl dgst -sha256 -hmac seed-secret`.
    ("seed-secret", bytes(262_144), "c41fddfaa587e2abb29af57ebfb554de4384d8f8d5a5f89ec13df08cc0c9d3e2"),
]

# Made with `printf 'msg_1.1736899200.%s' "$BODY" | openssl dgst -sha256 -mac HMAC -binary
# -macopt hexkey:$(printf MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw | base64 -d | xxd -p) | base64`.
OPENSSL_STANDARD = "v1,ICozVIboWnAwr8YWZgAP5/78ZvXpr1+s1na/TunBVeI="

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REFERENCE = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
REFERENCE_BODY = b'{"test": 2432232314}'
WRONG = "Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="  # the reference libraries' wrong signature
SPEC_HEADER = (
    "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= "
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)


def verifier(current: str, previous: str = "", *, token: str = "", token_before: str = "") -> Verifier:
    values = {"C2S_WEBHOOK_SECRET": current, "C2S_WEBHOOK_SECRET_PREVIOUS": previous}
    values |= {"C2S_WEBHOOK_TOKEN": token, "C2S_WEBHOOK_TOKEN_PREVIOUS": token_before}
    return verifier_of(load_settings("ingress", {name: value for name, value in values.items() if value}))


def refusal(door: Verifier, headers: dict[str, str], raw: bytes) -> str:
    with pytest.raises(AuthError) as caught:
        door.signed(headers, raw)
    return caught.value.code


@pytest.mark.parametrize(("secret", "raw", "hexed"), OPENSSL, ids=["seed", "empty", "odd", "large"])
@pytest.mark.parametrize("spell", [str.lower, str.upper, "sha256={}".format, lambda h: f"SHA256={h.upper()}"])
def test_openssl_signatures(secret: str, raw: bytes, hexed: str, spell) -> None:
    """What `openssl dgst -hmac` prints vouches, in either case and after `sha256=`; as previous too."""
    headers = {"X-C2S-Signature": spell(hexed)}
    assert verifier(secret).signed(headers, raw) == Verified("signature")
    assert verifier("another", secret).signed(headers, raw) == Verified("signature", previous=True)
    assert refusal(verifier("another"), headers, raw) == "signature_invalid"
    assert refusal(verifier(secret), headers, raw + b" ") == "signature_invalid"


@given(secret=st.text(st.characters(codec="utf-8"), min_size=1, max_size=200), raw=st.binary(max_size=4000))
def test_openssl_signs_as_we_do(secret: str, raw: bytes) -> None:
    """OpenSSL, called through `cryptography`, gives our signature for any secret and body."""
    theirs = HMAC(secret.encode(), hashes.SHA256())
    theirs.update(raw)
    expected = theirs.finalize()
    assert sign.sign(secret, raw) == expected.hex()
    assert sign.verify(secret, raw, expected.hex().upper())


def test_the_reference_libraries_message() -> None:
    """Their example vouches, with the current secret and with the previous one, and not with another body."""
    assert verifier(WHSEC).signed(REFERENCE, REFERENCE_BODY).by == "standard"
    assert not verifier(WHSEC).signed(REFERENCE, REFERENCE_BODY).previous
    assert verifier("whsec_AAAA", WHSEC).signed(REFERENCE, REFERENCE_BODY).previous
    assert refusal(verifier(WHSEC), REFERENCE, REFERENCE_BODY + b" ") == "signature_invalid"
    assert refusal(verifier("whsec_AAAA"), REFERENCE, REFERENCE_BODY) == "signature_invalid"


def test_a_standard_signature_of_openssl() -> None:
    """OpenSSL's signature of the seed's body in the Standard Webhooks scheme vouches."""
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1736899200",
        "webhook-signature": OPENSSL_STANDARD,
    }
    assert verifier(WHSEC).signed(headers, SEED).by == "standard"


def test_several_signatures() -> None:
    """The libraries' list: wrong ones, another version and the right one, which alone decides."""
    right = REFERENCE["webhook-signature"]
    several = [f"v1,{WRONG}", f"v2,{WRONG}", right, f"v1,{WRONG}"]
    door = verifier(WHSEC)
    assert door.signed(REFERENCE | {"webhook-signature": " ".join(several)}, REFERENCE_BODY).by == "standard"
    several.remove(right)
    headers = REFERENCE | {"webhook-signature": " ".join(several)}
    assert refusal(door, headers, REFERENCE_BODY) == "signature_invalid"
    headers = REFERENCE | {"webhook-signature": right.replace("v1,", "v2,")}
    assert refusal(door, headers, REFERENCE_BODY) == "signature_malformed"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp"])
def test_a_part_is_missing(missing: str) -> None:
    """As the libraries: without id or timestamp nothing vouches; without a signature it is missing."""
    parts = {name: value for name, value in REFERENCE.items() if name != missing}
    assert refusal(verifier(WHSEC), parts, REFERENCE_BODY) == "signature_malformed"
    unsigned = {name: value for name, value in REFERENCE.items() if name != "webhook-signature"}
    assert refusal(verifier(WHSEC), unsigned, REFERENCE_BODY) == "signature_missing"


def test_a_partial_signature() -> None:
    """The libraries' cut-off signatures: `v1,` and the first 8 characters."""
    for cut in ("v1,", REFERENCE["webhook-signature"][:8]):
        headers = REFERENCE | {"webhook-signature": cut}
        assert refusal(verifier(WHSEC), headers, REFERENCE_BODY) == "signature_malformed"


@pytest.mark.parametrize(
    "unpadded", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr"]
)
def test_secrets_without_padding(unpadded: str) -> None:
    """The libraries' secrets with and without their `=` are the same key."""
    padded = unpadded + "=" * (-len(unpadded) % 4)
    assert sign.standard_key(f"whsec_{unpadded}") == base64.b64decode(padded)
    assert sign.standard_key(f"whsec_{padded}") == base64.b64decode(padded)


def test_the_specifications_header() -> None:
    """Of the specification's example, the v1 signature is read and the asymmetric v1a passed over."""
    assert sign.read_standard(SPEC_HEADER) == [
        base64.b64decode("K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")
    ]


def test_tokens_of_a_rotation() -> None:
    """The current token and the previous one, told apart; nothing else, also not a part or none."""
    door = verifier("", token="token-now", token_before="token-before")
    assert door.token("token-now") == Verified("token")
    assert door.token("token-before") == Verified("token", previous=True)
    for wrong in ("", "token", "token-now ", "TOKEN-NOW", "t\u00f6ken", "\udcff"):
        with pytest.raises(AuthError) as caught:
            door.token(wrong)
        assert (caught.value.status, caught.value.code) == (404, "not_found")
