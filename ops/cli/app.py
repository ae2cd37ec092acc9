"""The commands of `c2s` and what they say about themselves; the work is done elsewhere."""

import asyncio
import logging
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from ops.cli import SERVICES, become
from ops.cli.actions import ACTIONS, Action
from ops.cli.alerts import alerts
from ops.cli.completion import EXAMPLE as COMPLETION_EXAMPLE
from ops.cli.completion import completion
from ops.cli.dead import dead
from ops.cli.events import events
from ops.cli.forwards import forwards
from ops.cli.keys import keys
from ops.cli.output import PROBLEM, WRONG_USE, print_json, print_table, say_error
from ops.cli.partitions import partitions
from ops.cli.secret import secret
from ops.cli.subject import subject
from ops.cli.subscribing import SUBSCRIBE_EXAMPLE, UNSUBSCRIBE_EXAMPLE, subscribe, unsubscribe
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, environment, settings_of
from ops.sandbox.webhooks import Shape
from ops.settings import load_settings
from schema.errors import SettingsError
from schema.identity import is_lead_id

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="C2S lead webhooks: never lost, never messaged twice, always explainable.\n\n"
    "Commands that look at a system find the one that `c2s up` runs on this directory (its .c2s/up.json) by "
    "themselves, unless REDIS_URL and DATABASE_URL name another.",
    epilog="Start with [bold]c2s up[/]. Exit codes: 0 fine, 1 found a problem, 2 wrong use or settings.",
)
app.add_typer(events, name="events")
app.add_typer(dead, name="dead")
app.add_typer(forwards, name="forwards")
app.add_typer(partitions, name="partitions")
app.add_typer(secret, name="secret")
app.add_typer(keys, name="keys")
app.add_typer(alerts, name="alerts")
app.add_typer(subject, name="subject")


def run(arguments: Sequence[str]) -> NoReturn:
    """Run a command and exit. Expected faults are one line, never a traceback."""
    # Standard output is the command's; what the code logs on the way goes beside it.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        app(list(arguments), prog_name="c2s")
    except SettingsError as error:
        say_error(str(error))
        sys.exit(WRONG_USE)
    except Exception as error:
        from ops.faults import told  # noqa: PLC0415 -- brings the drivers along

        words = told(error)
        if words is None:
            raise
        say_error(words)
        sys.exit(PROBLEM)
    sys.exit(0)


@app.command(
    epilog="Example: [bold]c2s up[/], or [bold]c2s up --port 8081 --data-dir /tmp/two --processors 3[/]"
)
def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the ingress; 8080, or a free one if that is taken.", min=0)
    ] = None,
    data_dir: Annotated[
        Path, typer.Option(envvar="C2S_DATA_DIR", help="Data, secrets and logs, kept between runs.")
    ] = DEFAULT_DATA_DIR,
    processors: Annotated[int, typer.Option(min=1, max=64, help="How many processors.")] = 2,
    traffic: Annotated[bool, typer.Option(help="Send sample webhooks.")] = True,
    ready_file: Annotated[
        Path | None, typer.Option(help="Where to write, once all is ready, where everything is (JSON).")
    ] = None,
) -> None:
    """Run the whole system on this machine, until Ctrl-C.

    Redis and PostgreSQL come from wheels unless REDIS_URL and DATABASE_URL are set. C2S, Diretrix and the
    Work API are played by a sandbox unless C2S_BASE_URL, DIRETRIX_BASE_URL, WORK_API_BASE_URL are set.

    Commands in another shell find this system through the data directory.
    """
    from ops.cli.up import up_command  # noqa: PLC0415 -- brings the embedded servers along

    code = up_command(port, data_dir, processors, traffic, ready_file)
    raise typer.Exit(code)


def _service_help(name: str) -> str:
    return (
        f"Run one {name} in the foreground, with settings from the environment (python -m {SERVICES[name]})."
    )


@app.command(
    help=_service_help("ingress"),
    epilog="Example: [bold]c2s ingress --workers 4[/] on a machine of many cores",
)
def ingress(
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes on one port; INGRESS_WORKERS, else 1.")
    ] = None,
) -> None:  # reached for --help only: `main` replaces the process before
    become("ingress", [] if workers is None else ["--workers", str(workers)])


@app.command(help=_service_help("processor"))
def processor() -> None:
    become("processor", [])


@app.command(help=_service_help("projector"))
def projector() -> None:
    become("projector", [])


@app.command(
    "run",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: [bold]c2s run --processors 1[/] with REDIS_URL, DATABASE_URL and the secrets set",
)
def run_all(
    processors: Annotated[int, typer.Option(min=1, max=64, help="How many processors.")] = 1,
    migrates: Annotated[bool, typer.Option("--migrate/--no-migrate", help="Migrate first.")] = True,
) -> None:
    """Run ingress, processors and projector on one machine of 256 MB, for production.

    They are restarted when they die and stopped in order on SIGTERM. Redis and PostgreSQL are yours.
    """
    become("run", ["--processors", str(processors), *([] if migrates else ["--no-migrate"])])


@app.command(epilog="Example: [bold]DATABASE_URL=postgresql://… c2s migrate[/]")
def migrate(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Bring the database up to date; safe to run at any time, also side by side."""
    from ops.cli.migrate import migrate_command  # noqa: PLC0415 -- brings asyncpg along

    migrate_command(settings_of(data_dir), as_json=as_json)


@app.command(
    epilog="Examples: [bold]c2s send[/], [bold]c2s send L-1 --action update[/], "
    "[bold]c2s send twins-7 --shape seed --url https://…/api/v1/webhook/leads[/]"
)
def send(  # noqa: PLR0917 -- typer passes by name
    lead_id: Annotated[str, typer.Argument(help="The lead; its customer is invented from it.")] = "",
    action: Annotated[Action, typer.Option(help="What happened to the lead.")] = "create",
    shape: Annotated[Shape, typer.Option(help="Which of C2S's body shapes.")] = "data",
    url: Annotated[str, typer.Option(envvar="WEBHOOK_URL", help="The door; that of `c2s up`.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Sign a webhook with C2S_WEBHOOK_SECRET and post it, as C2S would."""
    from ops.cli.send import Sending  # noqa: PLC0415 -- brings aiohttp along
    from ops.cli.send import send as post  # noqa: PLC0415

    lead_id = lead_id or f"lead-{secrets.token_hex(4)}"
    if not is_lead_id(lead_id):
        raise SettingsError("LEAD_ID: must be 1-128 letters, digits or ._:@-")
    values = environment(data_dir)
    settings = load_settings("cli", values)
    door = url or values.get("WEBHOOK_URL") or f"http://127.0.0.1:{settings.port}/api/v1/webhook/leads"
    secret = settings.c2s_webhook_secret.get_secret_value()
    if not secret and not settings.allow_unsigned:
        raise SettingsError("C2S_WEBHOOK_SECRET: not set, and no `c2s up` is running here to take it from")
    answer = post(Sending(door, secret, lead_id, ACTIONS[action], shape))
    if as_json:
        print_json(answer)
    else:
        print_table([{name: answer.get(name) for name in ("status", "event_id", "lead_id")}])


@app.command(
    epilog="Examples: [bold]c2s stats --since 7d[/], [bold]c2s stats --watch[/], [bold]c2s stats --json[/]"
)
def stats(
    since: Annotated[str, typer.Option(help="An age (30m, 24h, 7d) or a time.")] = "24h",
    watch: Annotated[bool, typer.Option("--watch", help="Ask again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 2.0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """How it goes: the plan's three queries, then hours, latencies, repeats, errors, calls, who waits.

    The same answers are in SQL: views daily_… for the last 24 hours, functions stats_… for any time.
    """
    from ops.cli.stats import stats_command  # noqa: PLC0415 -- brings asyncpg along

    stats_command(settings_of(data_dir), since=since, watch_s=every if watch else 0.0, as_json=as_json)


@app.command(epilog="Example: [bold]c2s doctor[/]; exit code 1 if something is marked FAIL.")
def doctor(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Check settings, Redis, PostgreSQL, migrations, clocks and the C2S token.

    Of what is not well it says what it leads to and how to mend it, with the command to run.
    """
    from ops.cli.findings import print_findings  # noqa: PLC0415
    from ops.doctor import examine  # noqa: PLC0415 -- brings aiohttp and asyncpg along

    settings = settings_of(data_dir)
    findings = asyncio.run(examine(settings, environment(data_dir)))
    rows = [asdict(finding) for finding in findings]
    if as_json:
        print_json(rows)
    else:
        print_findings(findings)
    if any(finding.level == "FAIL" for finding in findings):
        raise typer.Exit(PROBLEM)


@app.command(epilog="Examples: [bold]c2s top[/], [bold]c2s top --once --json[/]")
def top(
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then end.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Watch the system live: queue, work, rates, budgets, breakers, lag and the last events; Ctrl-C ends it.

    Where Redis or PostgreSQL is away it says so and goes on.
    """
    from ops.cli.top import top_command  # noqa: PLC0415 -- brings redis and asyncpg along

    top_command(settings_of(data_dir), every, once=once, as_json=as_json)


@app.command(
    epilog="Examples: [bold]c2s rebuild --check[/] (exit code 1 if anything differs), [bold]c2s rebuild[/]"
)
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Compare only; change nothing.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make every read model anew from the archive, compare it with the live tables, and swap it in.

    Traffic goes on; the projector waits while the last entries are compared. Nobody is called or messaged.
    """
    from ops.cli.rebuild import rebuild_command  # noqa: PLC0415 -- as the others

    settings_of(data_dir)
    rebuild_command(environment(data_dir), check=check, as_json=as_json)


@app.command(epilog="Example: [bold]c2s recover[/] after Redis came back empty")
def recover(as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Put back into Redis what Postgres knows and Redis lost: unfinished events and dedup keys.

    Finished leads stay finished, and nobody is messaged twice. Running it again is harmless.
    """
    from ops.cli.recover import reapplied  # noqa: PLC0415 -- brings asyncpg along
    from ops.cli.recover import recover as restore  # noqa: PLC0415

    settings = settings_of(data_dir)
    if not reapplied(environment(data_dir)):
        raise typer.Exit(PROBLEM)
    done = restore(settings)
    if as_json:
        print_json(asdict(done))
    else:
        print(f"{done.events} unfinished events put back to work, {done.dedup_keys} dedup keys restored")


@app.command(
    epilog="Examples: [bold]c2s reconcile[/], [bold]c2s reconcile --since 7d --check[/]; with --check, exit "
    "code 1 if something is missing."
)
def reconcile(
    since: Annotated[str, typer.Option(help="Leads updated since: 30m, 24h, 7d, or a time.")] = "24h",
    check: Annotated[bool, typer.Option("--check", help="Look only, append nothing.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Find leads at C2S whose webhook never came, and append what is missing, each once.

    Asks C2S page by page within RECONCILE_SHARE of the budget; a run that was killed goes on where it was.
    """
    from ops.cli.engine import become_reconcile  # noqa: PLC0415 -- as the others

    become_reconcile(since, check=check, as_json=as_json, data_dir=data_dir)


app.command(epilog=SUBSCRIBE_EXAMPLE)(subscribe)
app.command(epilog=UNSUBSCRIBE_EXAMPLE)(unsubscribe)
app.command(epilog=COMPLETION_EXAMPLE)(completion)
