"""`c2s forwards`: what was passed on to FORWARD_URL, what waits, and trying again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from ops.cli.output import PROBLEM, print_json, print_table
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of
from ops.forwards import Forwards
from ops.postgres import create_pool
from ops.redis import command_client, translated
from ops.settings import Settings
from schema.errors import StorageUnavailable
from schema.keys import Keys

forwards = typer.Typer(
    invoke_without_command=True,
    help="Webhooks passed on to FORWARD_URL during a migration: counts, the oldest, the last error.",
    epilog="Example: [bold]c2s forwards --json[/]. "
    "Exit code 1 where some were given up; `c2s forwards retry` tries them again.",
)

R = TypeVar("R")


@forwards.callback()
def show(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    if context.invoked_subcommand:
        return
    settings = settings_of(data_dir)
    found = _run(settings, lambda store: _found(settings, store))
    if as_json:
        print_json(found)
    else:
        print_table([found], title="Forwards")
    if found["failed"]:
        raise typer.Exit(PROBLEM)


@forwards.command(
    "retry", epilog="Examples: [bold]c2s forwards retry[/], [bold]c2s forwards retry 8fe3a3a2-…[/]"
)
def retry_command(
    forward_id: Annotated[str, typer.Argument(help="One id; all that are not delivered if left out.")] = "",
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make what was given up, or waits for a later attempt, due now; a door delivers it in half a minute."""
    try:
        wanted = str(UUID(forward_id)) if forward_id else None
    except ValueError:
        raise typer.BadParameter("that is no id", param_hint="FORWARD_ID") from None
    count = _run(settings_of(data_dir), lambda store: store.retry(wanted))
    if as_json:
        print_json({"due_now": count})
    else:
        print(f"{count} due now")


async def _found(settings: Settings, store: Forwards) -> dict[str, Any]:
    standing, history = await store.standing(), await store.history()
    return {
        "forwarding": bool(settings.forward_url.get_secret_value()),
        "in_redis": await _in_redis(settings),
        "waiting": standing.waiting,
        "failed": standing.failed,
        "oldest": standing.oldest,
        **history,
    }


async def _in_redis(settings: Settings) -> int | None:
    """Copies not yet moved to Postgres; None while Redis is away."""
    client = command_client(settings.redis_url.get_secret_value())
    try:
        with translated("counting forwards"):
            return sum([await client.xlen(Keys(p).forwards) for p in range(settings.partitions.served)])
    except StorageUnavailable:
        return None
    finally:
        await client.aclose()


def _run(settings: Settings, act: Callable[[Forwards], Awaitable[R]]) -> R:
    async def main() -> R:
        pool = await create_pool(settings, min_size=0, max_size=1, application_name="c2s-cli")
        try:
            return await act(Forwards(pool))
        finally:
            await pool.close()

    return asyncio.run(main())
