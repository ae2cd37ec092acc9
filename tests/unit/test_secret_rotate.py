"""`c2s secret rotate`: what it prints brings a secret into force."""

import json
import subprocess

import pytest
from support_forks import run_c2s

from ingress.verify import verifier_of
from ops.settings import load_settings
from ops.sign import sign, sign_standard

RAW = b'{"lead_id":"L1"}'


def rotate(kind: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run_c2s("secret", "rotate", kind, *options)


@pytest.mark.parametrize(
    ("kind", "setting", "label"),
    [
        ("hmac", "C2S_WEBHOOK_SECRET", "signature"),
        ("whsec", "C2S_WEBHOOK_SECRET", "standard"),
        ("token", "C2S_WEBHOOK_TOKEN", "token"),
    ],
)
def test_a_new_secret_works_beside_the_old_one(kind: str, setting: str, label: str) -> None:
    """Put where the steps say, the new secret is taken, and the old one as the previous."""
    new = json.loads(rotate(kind, "--json").stdout)
    old = json.loads(rotate(kind, "--json").stdout)["secret"]
    assert new["secret"] != old
    assert new["setting"] == setting
    assert f'c2s_previous_secret_total{{kind="{label}"}}' in " ".join(new["steps"])
    settings = load_settings("ingress", {setting: new["secret"], f"{setting}_PREVIOUS": old})
    verifier = verifier_of(settings)

    def verified(secret: str):
        match kind:
            case "hmac":
                return verifier.signed({"X-C2S-Signature": sign(secret, RAW)}, RAW)
            case "whsec":
                signature = sign_standard(secret, "m", "1736899200", RAW)
                names = ("webhook-id", "webhook-timestamp", "webhook-signature")
                return verifier.signed(dict(zip(names, ("m", "1736899200", signature), strict=True)), RAW)
            case _:
                return verifier.token(secret)

    assert (verified(new["secret"]).by, verified(new["secret"]).previous) == (label, False)
    assert (verified(old).by, verified(old).previous) == (label, True)


def test_for_people_it_is_secret_then_steps() -> None:
    """It says that nothing is stored; the secret stands alone on its line; an unknown kind is wrong use."""
    lines = rotate("token").stdout.splitlines()
    assert "stored nowhere" in lines[0]
    assert len(lines[2]) == 43
    assert [line[:2] for line in lines[4:]] == ["1.", "2.", "3.", "4."]
    assert rotate("password").returncode == 2
