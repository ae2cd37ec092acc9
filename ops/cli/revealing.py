"""What the CLI reveals of persons: shown only once it is noted who looks, when and why."""

import asyncio
import getpass
import socket
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ops.audit import Actor, Audit
from ops.postgres import create_pool
from ops.settings import Settings

Reveal = Annotated[
    bool, typer.Option("--reveal", help="Show personal data, too; noted in operator_actions before that.")
]
Reason = Annotated[str, typer.Option(help="With --reveal: why, without names; kept in operator_actions.")]


def operator() -> Actor:
    """Whoever types, as the machine knows them."""
    return Actor(f"{getpass.getuser()}@{socket.gethostname()}", "cli")


def why(reason: str) -> str:
    """Why somebody looks: as given, else asked for at a terminal.

    Raises:
        typer.BadParameter: nobody says why.
    """
    said = reason.strip()
    if not said and sys.stdin.isatty():
        said = typer.prompt("Reason (no names)").strip()
    if not said:
        raise typer.BadParameter("say why personal data is shown", param_hint="--reason")
    return said


def note_reveal(settings: Settings, event_ids: Sequence[str], reason: str) -> None:
    """Note that what these events hold of persons is about to be shown, each by its id.

    Raises:
        StorageUnavailable: Postgres is away: nothing may be shown.
    """

    async def note() -> None:
        pool = await create_pool(settings, min_size=0, max_size=1, application_name="c2s-reveal")
        try:
            audit = Audit(pool)
            for event_id in event_ids:
                noted = await audit.note(operator(), "payload_revealed", event_id, reason)
                await audit.done(noted, 1)
        finally:
            await pool.close()

    asyncio.run(note())
