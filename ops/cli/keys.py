"""`c2s keys`: make a key for sealing, see which keys are needed, wrap everything with the newest."""

import asyncio
import base64
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ops.cli.output import PROBLEM, print_json, print_table, say_error
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of
from ops.settings.privacy import KEY_BYTES

if TYPE_CHECKING:
    from ops.rotate_keys import Use

keys = typer.Typer(no_args_is_help=True, help="Keys that seal personal data (PAYLOAD_KEYS).")


@keys.command("new", epilog="Example: [bold]PAYLOAD_KEYS=$(c2s keys new),$PAYLOAD_KEYS[/]")
def new_command() -> None:
    """Print a new key. It is stored nowhere: put it first in PAYLOAD_KEYS of every process, and keep it safe.

    Who loses the keys loses what they seal.
    """
    print(base64.b64encode(os.urandom(KEY_BYTES)).decode())


@keys.command(
    "status",
    epilog="Example: [bold]c2s keys status[/]. Exit code 1 where a key is needed that is not set.",
)
def status_command(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Count which keys everything stored needs, in Postgres and Redis."""
    from ops.rotate_keys import standing  # noqa: PLC0415 -- brings asyncpg and cryptography along

    uses = asyncio.run(standing(settings_of(data_dir)))
    _tell(uses, as_json=as_json)
    if any(use.standing == "MISSING" for use in uses):
        say_error("some texts need a key that is not in PAYLOAD_KEYS here; add it")
        raise typer.Exit(PROBLEM)


@keys.command(
    "rotate",
    epilog="Example: [bold]c2s keys rotate[/]. Exit code 1 while an older key is needed.",
)
def rotate_command(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Wrap everything with the newest key while the system runs; then tell what still needs an older one.

    First put the new key before the old ones in PAYLOAD_KEYS of every process and restart them. Once nothing
    needs the old key, remove it.
    """
    from ops.rotate_keys import PASSING, rotate  # noqa: PLC0415 -- as above

    settings = settings_of(data_dir)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task("keys", total=None)
        uses = asyncio.run(
            rotate(
                settings, lambda name, done, of: bar.update(task, description=name, completed=done, total=of)
            )
        )
    _tell(uses, as_json=as_json)
    left = [use for use in uses if use.standing != "newest"]
    if left:
        if any(use.place in PASSING for use in left):
            say_error("entries of streams that are not archived or worked off yet go by themselves")
        say_error("an older key is needed still; run `c2s keys rotate` again before removing it")
        raise typer.Exit(PROBLEM)
    if not as_json:
        print("nothing needs an older key; it can be removed from PAYLOAD_KEYS")


def _tell(uses: "Sequence[Use]", *, as_json: bool) -> None:
    rows = [asdict(use) for use in uses]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, empty="nothing is sealed")
