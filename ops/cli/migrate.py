"""`c2s migrate`: bring the database up to date."""

import asyncio

from ops.cli.output import print_json
from ops.migrate import migrate
from ops.settings import Settings


def migrate_command(settings: Settings, *, as_json: bool) -> None:
    """Apply what is pending and say what that was.

    Raises:
        MigrationError: an applied migration changed or vanished.
        StorageUnavailable: Postgres cannot be reached.
    """
    applied = asyncio.run(migrate(settings.database_url.get_secret_value()))
    if as_json:
        print_json({"applied": applied})
    else:
        print(f"applied: {', '.join(applied)}" if applied else "nothing to do: the database is up to date")
