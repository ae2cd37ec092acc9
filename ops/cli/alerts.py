"""`c2s alerts`: check now, list what is open."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from ops.ages import since_of
from ops.cli.output import PROBLEM, print_json, print_table, say_error
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of

alerts = typer.Typer(no_args_is_help=True, help="What is wrong: check now, list what is open and was.")

_FIRING_COLUMNS = ("severity", "rule", "summary", "value", "threshold")


@alerts.command(
    "check",
    epilog="Example: [bold]c2s alerts check[/]; exit code 1 if something is wrong. Good for cron as well: "
    "each alert is told once, whoever checks.",
)
def check_command(
    look: Annotated[bool, typer.Option("--look", help="Judge only: store and tell nothing.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Check everything now, as the active projector does; store and tell what opened or resolved."""
    from ops.alerts.check import check  # noqa: PLC0415 -- brings asyncpg and redis along

    done = asyncio.run(check(settings_of(data_dir), "cli", look_only=look))
    if as_json:
        print_json(
            {
                "firing": [asdict(f) for f in done.firing],
                "opened": [c.alert.fingerprint for c in done.changes if c.transition == "opened"],
                "resolved": [c.alert.fingerprint for c in done.changes if c.transition == "resolved"],
                "synthetic_check": {"passed": not done.faults, "faults": list(done.faults)},
            }
        )
    else:
        print_table([asdict(f) for f in done.firing], columns=_FIRING_COLUMNS, empty="nothing is wrong")
        for change in done.changes:
            print(f"{change.transition}: {change.alert.fingerprint}")
        for fault in done.faults:
            print(f"synthetic check failed: {fault}")
    if done.unjudged:
        say_error("Redis cannot be asked: rules that need it were not judged")
    if done.firing:
        raise typer.Exit(PROBLEM)


@alerts.command("list", epilog="Example: [bold]c2s alerts list --since 7d[/]; exit code 1 if one is open.")
def list_command(
    since: Annotated[str, typer.Option(help="Also those that opened since: 30m, 2h, 7d.")] = "24h",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """List open alerts, and those of late."""
    from ops.alerts.check import recent  # noqa: PLC0415 -- brings asyncpg along

    now = datetime.now(UTC)
    window_s = (now - (since_of(since, now) or now)).total_seconds()
    found = asyncio.run(recent(settings_of(data_dir), window_s))
    rows = [asdict(alert) for alert in found]
    if as_json:
        print_json(rows)
    else:
        columns = ("opened_at", "resolved_at", "severity", "rule", "summary")
        print_table(rows, columns=columns, empty="no alerts")
    if any(alert.resolved_at is None for alert in found):
        raise typer.Exit(PROBLEM)
