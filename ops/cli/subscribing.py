"""`c2s subscribe` and `c2s unsubscribe`: who gets C2S's webhooks."""

from typing import Annotated, Literal

import typer

from ops.cli.system import DEFAULT_DATA_DIR, DataDir

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Variant = Annotated[str, typer.Option("--path", help="Path of the call, where C2S's documents differ.")]
Method = Annotated[Literal["", "POST", "PUT", "DELETE"], typer.Option(help="Method of the call, likewise.")]


SUBSCRIBE_EXAMPLE = (
    "Example: [bold]c2s subscribe --url https://leads.example.com/api/v1/webhook/leads[/]; "
    "[bold]--path /integration/api/subscribe[/] for the other spelling."
)


def subscribe(  # noqa: PLR0917 -- typer passes by name
    url: Annotated[str, typer.Option(envvar="WEBHOOK_URL", help="The door, as C2S reaches it.")] = "",
    signed: Annotated[
        bool, typer.Option("--signed", help="Expect signatures, also where C2S_WEBHOOK_TOKEN is set.")
    ] = False,
    path: Variant = "",
    method: Method = "",
    yes: Yes = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Have C2S send its three webhooks here. REPLACES the present endpoint of the token; asks before.

    Where C2S_WEBHOOK_TOKEN is set it becomes part of the URL (shown masked); else webhooks must be signed.
    """
    from ops.cli.engine import become_module  # noqa: PLC0415 -- as the others

    options = ["subscribe", "--url", url, "--path", path, "--method", method]
    options += [*(["--signed"] if signed else []), *(["--yes"] if yes else [])]
    become_module("processor.subscription", options, data_dir)


UNSUBSCRIBE_EXAMPLE = (
    "Example: [bold]c2s unsubscribe[/]; [bold]--path /integration/leads/subscribe --method DELETE[/] "
    "is the plan's spelling."
)


def unsubscribe(
    path: Variant = "",
    method: Method = "",
    yes: Yes = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """End C2S's webhooks, for whoever gets them now; asks before."""
    from ops.cli.engine import become_module  # noqa: PLC0415 -- as the others

    options = ["unsubscribe", "--path", path, "--method", method, *(["--yes"] if yes else [])]
    become_module("processor.subscription", options, data_dir)
