"""`c2s secret rotate`: a new secret and the steps that bring it into force without losing a webhook."""

import base64
import secrets
from typing import Annotated, Literal

import typer

from ops.cli.output import print_json, printable

secret = typer.Typer(no_args_is_help=True, help="Secrets of the webhook door.")

Kind = Literal["hmac", "whsec", "token"]

_BYTES = 32
_SETTING = {
    "hmac": "C2S_WEBHOOK_SECRET",
    "whsec": "C2S_WEBHOOK_SECRET",
    "token": "C2S_WEBHOOK_TOKEN",
}
_SENDER = {
    "hmac": "Let the sender sign with the new secret (X-C2S-Signature: hex HMAC-SHA256 of the raw body).",
    "whsec": "Give the sender the new secret as it stands, whsec_ included (Standard Webhooks).",
    "token": "Register the new URL, ending in /api/v1/webhook/leads/<new token>, for every action: "
    "C2S keeps one endpoint per token of its API, so the new URL replaces the old one.",
}
_LABEL = {"hmac": "signature", "whsec": "standard", "token": "token"}


def new_secret(kind: Kind) -> str:
    """256 fresh random bits in the form of that kind."""
    raw = secrets.token_bytes(_BYTES)
    if kind == "whsec":
        return "whsec_" + base64.b64encode(raw).decode()
    if kind == "token":
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return raw.hex()


def steps(kind: Kind) -> list[str]:
    """What to do, in order."""
    name = _SETTING[kind]
    gauge = f'c2s_previous_secret_total{{kind="{_LABEL[kind]}"}}'
    both = f"On every ingress, set {name}_PREVIOUS to the present {name}, and {name} to the new secret; "
    watch = f"Watch {gauge} on /metrics, or the log line auth.previous_secret: "
    end = "When it has stood still for longer than a webhook may be delayed, "
    return [
        both + "restart them. From now on both are taken.",
        _SENDER[kind],
        watch + "while it grows, somebody still uses the old secret.",
        end + f"remove {name}_PREVIOUS and restart.",
    ]


@secret.command("rotate", epilog="Example: [bold]c2s secret rotate token[/]")
def rotate_command(
    kind: Annotated[
        Kind, typer.Argument(help="hmac: X-C2S-Signature; whsec: Standard Webhooks; token: the URL.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Print a new secret and the steps of changing it. It is stored nowhere, and nothing is changed."""
    value = new_secret(kind)
    if as_json:
        print_json({"kind": kind, "setting": _SETTING[kind], "secret": value, "steps": steps(kind)})
        return
    print(f"New secret, shown once and stored nowhere; keep it where your other secrets are:\n\n{value}\n")
    for number, step in enumerate(steps(kind), 1):
        print(printable(f"{number}. {step}"))
