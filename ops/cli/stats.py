"""`c2s stats`: the plan's three queries."""

import asyncio

from ops.cli.output import print_json, print_table
from ops.inspect import read_statistics
from ops.settings import Settings


def stats_command(settings: Settings, *, as_json: bool) -> None:
    """Print the three queries' answers.

    Raises:
        StorageUnavailable: Postgres cannot be reached.
    """
    found = asyncio.run(read_statistics(settings))
    if as_json:
        print_json(found)
        return
    print_table(found["by_status"], title="Webhooks by status, last 24 hours")
    print()
    print_table(found["several_attempts"], title="Leads with several webhooks, and most retries")
    print()
    print_table(found["success_rate"], title="Success rate in percent, last 24 hours")
