"""`c2s events`: list them, tell one's story, follow them live."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from ops.ages import since_of
from ops.cli.actions import ACTIONS, Action
from ops.cli.output import (
    PROBLEM,
    STYLES,
    cell,
    console,
    print_json,
    print_json_line,
    print_table,
    printable,
    say_error,
)
from ops.cli.revealing import Reason, Reveal, note_reveal, why
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of
from ops.cli.watching import run_until_asked
from ops.settings import Settings

events = typer.Typer(no_args_is_help=True, help="List events, tell one's story, follow them live.")

Status = Literal["received", "processing", "success", "failed"]
_LIST_COLUMNS = (
    "received_at", "lead_id", "hook_action", "status", "result", "seconds", "retry_count", "duplicate_count",
    "event_id", "error_message",
)  # fmt: skip


@events.command(
    "list",
    epilog="Examples: [bold]c2s events list --status failed --since 2h --until 30m[/], [bold]… --lead L-1[/]",
)
def list_command(  # noqa: PLR0917 -- typer passes by name
    lead: Annotated[str, typer.Option(help="Only this lead's.")] = "",
    status: Annotated[Status | None, typer.Option(help="Only those in this status.")] = None,
    action: Annotated[Action | None, typer.Option(help="Only this action.")] = None,
    since: Annotated[
        str, typer.Option(help="Only those received since: an age (30m, 2h, 7d) or a time.")
    ] = "",
    until: Annotated[str, typer.Option(help="Only those received before: an age or a time.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first."""
    from ops.inspect import Filter, list_events  # noqa: PLC0415 -- brings asyncpg along

    now = datetime.now(UTC)
    which = Filter(
        lead or None,
        status,
        ACTIONS[action] if action else None,
        since_of(since, now),
        limit,
        until=since_of(until, now, "--until"),
    )
    rows = asyncio.run(list_events(settings_of(data_dir), which))
    if as_json:
        print_json(rows)
    else:
        print_table(rows, columns=_LIST_COLUMNS, empty="no events")


@events.command(
    "show",
    epilog="Examples: [bold]c2s events show L-1[/], "
    "[bold]c2s events show 2b1e…-… --reveal --reason 'the broker asked' --json[/]",
)
def show_command(
    name: Annotated[str, typer.Argument(metavar="EVENT_ID|LEAD_ID", help="One event, or all of a lead.")],
    reveal: Reveal = False,
    reason: Reason = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story in order: receipt, attempts, errors, time per step.

    With --reveal the message too, with --json the raw bodies; it is noted who looked, or nothing is shown.
    What the projector has not recorded yet is read from the streams.
    """
    from ops.cli import story as screen  # noqa: PLC0415 -- brings asyncpg along
    from ops.inspect import read_stories  # noqa: PLC0415
    from ops.seal import codec_of  # noqa: PLC0415
    from ops.telling import as_json as told  # noqa: PLC0415

    settings = settings_of(data_dir)
    reason = why(reason) if reveal else ""
    codec = codec_of(settings)
    stories = asyncio.run(read_stories(settings, name))
    if reveal:
        note_reveal(settings, [story.event_id for story in stories.stories], reason)
    if as_json:
        print_json(told(stories, codec, message=reveal, payload=reveal))
    else:
        screen.show(stories, codec, console(), reveal=reveal)
    if not stories.stories:
        say_error(f"no event and no lead {printable(name)} is known here")
        raise typer.Exit(PROBLEM)


@events.command(
    "tail", epilog="Examples: [bold]c2s events tail -f[/], [bold]c2s events tail -n 50 --no-follow --json[/]"
)
def tail_command(
    lead: Annotated[str, typer.Option(help="Only this lead's.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=0, max=10_000, help="So many before that.")] = 10,
    following: Annotated[
        bool, typer.Option("--follow/--no-follow", "-f", help="Go on until Ctrl-C, or end there.")
    ] = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """The latest that happened, then what happens, live, until Ctrl-C."""
    settings = settings_of(data_dir)
    run_until_asked(_tail(settings, lead, last, following=following, as_json=as_json))


async def _tail(settings: Settings, lead: str, last: int, *, following: bool, as_json: bool) -> None:
    from ops.follow import Stream, follow, newest_only  # noqa: PLC0415 -- brings redis along
    from ops.words import status_of, took, words_of  # noqa: PLC0415
    from schema.events import WebhookAccepted, encode  # noqa: PLC0415

    out = console()
    url, partitions = settings.redis_url.get_secret_value(), settings.partitions.served
    streams: tuple[Stream, Stream] = ("webhooks", "outcomes")
    read = follow if following else newest_only
    async for followed in read(url, partitions, streams, last):
        event = followed.event
        if lead and event.lead_id != lead:
            continue
        if as_json:
            flat = {"type": event.type, "entry_id": followed.entry_id} | encode(event)
            for name in ("payload", "message", "enrichment"):
                flat.pop(name, None)
            print_json_line(flat)
            continue
        at = event.received_at if isinstance(event, WebhookAccepted) else event.at
        line = cell(f"{at.astimezone():%H:%M:%S}  " if at else "")
        status = status_of(event)
        line.append(f"{event.lead_id:<28} {event.action:<16} ").append(
            f"{status:<10}", STYLES.get(status, "")
        )
        line.append(f" {took(event):>8}  {printable(words_of(event))}")
        out.print(line, soft_wrap=True)
