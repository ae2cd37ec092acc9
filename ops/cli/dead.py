"""`c2s dead`: list, show, replay and discard dead letters."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from ops.ages import since_of
from ops.audit import Action
from ops.cli.noting import noting
from ops.cli.output import PROBLEM, print_json, print_table, say_error, say_warning
from ops.cli.revealing import Reason, Reveal, note_reveal, operator, why
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of
from ops.dead import DeadLetter, DeadLetters, Filter
from ops.operating import Selection, masked
from ops.redis import command_client
from ops.seal import codec_of
from ops.settings import Settings
from ops.telling import opened
from schema.errors import StorageUnavailable
from schema.identity import is_lead_id

dead = typer.Typer(no_args_is_help=True, help="Events that were given up: look, replay, discard.")

R = TypeVar("R")
_VERBS: dict[str, str] = {"dead_replayed": "replay", "dead_discarded": "discard"}

EventId = Annotated[str, typer.Argument(help="One event id; all that the filters take if left out.")]
Lead = Annotated[str, typer.Option(help="Only this lead's.")]
Code = Annotated[str, typer.Option(help="Only with this error code, e.g. lead_gone.")]
Since = Annotated[str, typer.Option(help="Only given up since: 30m, 2h, 7d, or a time.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dead.command("list", epilog="Example: [bold]c2s dead list --code lead_gone --since 7d[/]")
def list_command(
    lead: Lead = "",
    code: Code = "",
    since: Since = "",
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the dead letters, oldest first; exit code 1 where there are any."""
    wanted = _filter("", lead, code, since)
    letters = _run(settings_of(data_dir), lambda d: _all(d, wanted))
    rows = [_row(letter) for letter in letters]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, title="Dead letters", empty="no dead letters")
    raise typer.Exit(PROBLEM if letters else 0)


@dead.command(
    "show", epilog="Examples: [bold]c2s dead show 8fe3a3a2-…[/], [bold]… --reveal --reason 'wrong phone?'[/]"
)
def show_command(
    event_id: str, reveal: Reveal = False, reason: Reason = "", data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Show one dead letter with its original webhook, as JSON; values hidden unless they are revealed."""
    settings = settings_of(data_dir)
    reason = why(reason) if reveal else ""
    letters = _run(settings, lambda d: _all(d, Filter(event_id=event_id)))
    if not letters:
        say_error(f"no dead letter for event {event_id}; see `c2s events show {event_id}`")
        raise typer.Exit(PROBLEM)
    if reveal:
        note_reveal(settings, [event_id], reason)
    codec = codec_of(settings)

    def payload(stored: str) -> object:
        return opened(codec, event_id, "payload", stored) if reveal else masked(codec, event_id, stored)

    print_json([{**_row(x), "payload": payload(x.event.payload)} for x in letters])


@dead.command("replay", epilog="Examples: [bold]c2s dead replay 8fe3a3a2-…[/], [bold]… --since 2h --yes[/]")
def replay_command(  # noqa: PLR0917 -- typer passes by name
    event_id: EventId = "",
    lead: Lead = "",
    code: Code = "",
    since: Since = "",
    reason: Annotated[
        str, typer.Option(help="Why; kept in the event's story and in operator_actions.")
    ] = "replayed by an operator",
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put events back to work, as a new series of attempts. None is ever messaged twice.

    Who does is noted in operator_actions; while Postgres is away in the event, from where it gets there.
    """
    wanted = _filter(event_id, lead, code, since)
    _act(data_dir, wanted, "dead_replayed", reason, yes, as_json)


@dead.command("discard", epilog="Example: [bold]c2s dead discard --code lead_gone --yes[/]")
def discard_command(  # noqa: PLR0917 -- typer passes by name
    event_id: EventId = "",
    lead: Lead = "",
    code: Code = "",
    since: Since = "",
    reason: Annotated[str, typer.Option(help="Why; kept in operator_actions.")] = "discarded by an operator",
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Take letters away for good; their events stay `failed` in the record.

    Who does is noted in operator_actions before; what cannot be noted is not done.
    """
    wanted = _filter(event_id, lead, code, since)
    _act(data_dir, wanted, "dead_discarded", reason, yes, as_json)


def _act(  # noqa: PLR0917 -- one caller each
    data_dir: Any, wanted: Filter, action: Action, reason: str, yes: bool, as_json: bool
) -> None:
    settings, verb = settings_of(data_dir), _VERBS[action]
    letters = _run(settings, lambda d: _all(d, wanted))
    if not letters:
        say_error("no dead letter matches")
        raise typer.Exit(PROBLEM)
    if not yes:
        typer.confirm(f"{verb} {len(letters)} dead letter(s)?", abort=True)

    async def all_of_them(d: DeadLetters) -> None:
        async with noting(settings, action, Selection(wanted).words(), reason) as noted:
            unnoted = operator().name if noted.unnoted else ""
            if unnoted and action == "dead_discarded":
                raise StorageUnavailable(f"nothing was discarded, since it cannot be noted: {noted.unnoted}")
            if unnoted:
                say_warning(f"noted in operator_actions only once it is back: {noted.unnoted}")
            for letter in track(letters, verb, console=Console(stderr=True), transient=True, disable=as_json):
                await (d.discard(letter) if action == "dead_discarded" else d.replay(letter, reason, unnoted))
                noted.affected += 1
                if not as_json:
                    print(f"{verb}: event {letter.event.event_id} of lead {letter.event.lead_id}")

    _run(settings, all_of_them)
    if as_json:
        print_json({"done": verb, "events": [letter.event.event_id for letter in letters]})


def _filter(event_id: str, lead: str, code: str, since: str) -> Filter:
    if lead and not is_lead_id(lead):
        raise typer.BadParameter("that is no lead id", param_hint="--lead")
    return Filter(event_id, lead, code, since_of(since, datetime.now(UTC)))


async def _all(d: DeadLetters, wanted: Filter) -> list[DeadLetter]:
    return [letter async for letter in d.found(wanted)]


def _run(settings: Settings, act: Callable[[DeadLetters], Awaitable[R]]) -> R:
    async def main() -> R:
        client = command_client(settings.redis_url.get_secret_value())
        try:
            return await act(DeadLetters(client, settings))
        finally:
            await client.aclose()

    return asyncio.run(main())


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "at": letter.at,
        "lead_id": letter.event.lead_id,
        "action": letter.event.action,
        "attempts": letter.attempts,
        "step": letter.step,
        "code": letter.code,
        "error": letter.error,
        "event_id": letter.event.event_id,
    }
