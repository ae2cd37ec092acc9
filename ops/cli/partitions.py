"""`c2s partitions`: what each holds, whether a change of their number is over, and clearing up after it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TypeVar

import asyncpg
import typer

from ops.cli.output import PROBLEM, print_json, print_table, say_error
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of
from ops.partitions import Standing, clear, standings
from ops.postgres import connect
from ops.redis import Client, command_client
from ops.settings import Settings

partitions = typer.Typer(
    invoke_without_command=True,
    help="What each partition of the streams holds, and what is left of a change of their number.",
    epilog="Example: [bold]c2s partitions --json[/]. Exit code 1 while a change is not over.",
)

R = TypeVar("R")


@partitions.callback()
def show(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    if context.invoked_subcommand:
        return
    settings = settings_of(data_dir)
    found = _run(settings, lambda client, record: standings(client, record, settings))
    rows = [asdict(one) | {"drained": one.drained} for one in found]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, title="Partitions")
    if not all(one.drained for one in found):
        raise typer.Exit(PROBLEM)


@partitions.command(
    "clear", epilog="Example: [bold]c2s partitions clear[/], the last step after a smaller number"
)
def clear_command(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete the streams of partitions that nobody serves any more; refused while one still holds work."""
    settings = settings_of(data_dir)
    gone = _run(settings, lambda client, record: _cleared(client, record, settings))
    left = [one.partition for one in gone if not one.drained]
    if as_json:
        print_json({"cleared": [one.partition for one in gone if one.drained], "left": left})
    else:
        print(f"{len(gone) - len(left)} partitions cleared")
    if left:
        say_error(
            f"not drained: {', '.join(map(str, left))}; set STREAM_PARTITIONS_OTHER={max(left) + 1} "
            "everywhere until `c2s partitions` says they are"
        )
        raise typer.Exit(PROBLEM)


async def _cleared(client: Client, record: asyncpg.Connection, settings: Settings) -> list[Standing]:
    """Those beyond what is served; the drained ones are cleared."""
    served = settings.partitions.served
    gone = [one for one in await standings(client, record, settings) if one.partition >= served]
    await clear(client, [one for one in gone if one.drained], settings.partitions)
    return gone


def _run(settings: Settings, ask: Callable[[Client, asyncpg.Connection], Awaitable[R]]) -> R:
    async def main() -> R:
        client = command_client(settings.redis_url.get_secret_value())
        try:
            record = await connect(settings, application_name="c2s-cli")
            try:
                return await ask(client, record)
            finally:
                await record.close(timeout=5)
        finally:
            await client.aclose()

    return asyncio.run(main())
