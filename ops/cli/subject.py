"""`c2s subject`: what is held on one person, for whoever asks by law (LGPD art. 18); docs/privacy.md."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import asyncpg
import typer

from ops.audit import Action, Audit
from ops.cli.engine import become_module
from ops.cli.output import PROBLEM, print_json, print_table, say_error, text_of
from ops.cli.revealing import operator
from ops.cli.system import DEFAULT_DATA_DIR, AsJson, DataDir, settings_of
from ops.dossier import dossier, page
from ops.postgres import create_pool, translated
from ops.redis import command_client
from ops.seal import codec_of
from ops.settings import Settings
from ops.subjects import Found, Identifier, find, named
from schema.errors import SettingsError
from schema.identity import is_lead_id

subject = typer.Typer(
    no_args_is_help=True,
    help="What is held on one person: show, export, erase. Options stay in the shell's history: without them "
    "you are asked.",
)

R = TypeVar("R")
Phone = Annotated[str, typer.Option(help="Their phone, in any spelling.")]
Email = Annotated[str, typer.Option(help="Their e-mail address.")]
Cpf = Annotated[str, typer.Option(help="Their CPF.")]
Lead = Annotated[list[str] | None, typer.Option(help="A lead of theirs; may be repeated.")]
Reason = Annotated[str, typer.Option(prompt="Reason (no names)", help="Why; kept in operator_actions.")]


@subject.command("show", epilog="Example: [bold]c2s subject show[/] (asks whose)")
def show_command(  # noqa: PLR0917 -- typer passes by name
    reason: Reason,
    phone: Phone = "",
    email: Email = "",
    cpf: Cpf = "",
    lead: Lead = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say which leads hold something on a person, and how much; exit code 1 where none does."""
    settings, wanted = settings_of(data_dir), _wanted(phone, email, cpf, lead)
    rows = _run(settings, lambda pool: _show(pool, settings, wanted, lead or [], reason))
    if as_json:
        print_json(rows)
    else:
        print_table(rows, title="Leads", empty="nothing is held on them")
    raise typer.Exit(0 if rows else PROBLEM)


@subject.command("export", epilog="Example: [bold]c2s subject export --out dossier[/] (asks whose)")
def export_command(  # noqa: PLR0917
    reason: Reason,
    out: Annotated[Path, typer.Option(help="Where to: .json and .html are added.")] = Path("subject"),
    phone: Phone = "",
    email: Email = "",
    cpf: Cpf = "",
    lead: Lead = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write all that is held on a person, where it came from and to whom it went, as JSON and HTML."""
    settings, wanted = settings_of(data_dir), _wanted(phone, email, cpf, lead)

    async def export(pool: asyncpg.Pool) -> bool:
        found = await _found(pool, settings, wanted, lead or [], "subject_exported", reason)
        async with pool.acquire() as conn:
            held = await dossier(conn, codec_of(settings), found.subjects, found.leads)
        _write(out.with_suffix(".json"), text_of(held))
        _write(out.with_suffix(".html"), page(held))
        return bool(found.leads)

    if not _run(settings, export):
        say_error("nothing is held on them")
        raise typer.Exit(PROBLEM)


@subject.command("erase", epilog="Example: [bold]c2s subject erase[/] (asks whose, and whether you are sure)")
def erase_command(  # noqa: PLR0917
    reason: Reason,
    phone: Phone = "",
    email: Email = "",
    cpf: Cpf = "",
    lead: Lead = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Erase a person everywhere, for good, also while their lead is in work. C2S keeps what it has."""
    settings, wanted = settings_of(data_dir), _wanted(phone, email, cpf, lead)
    leads = lead or []
    rows = _run(settings, lambda pool: _show(pool, settings, wanted, leads, reason))
    if not rows:
        say_error("nothing is held on them")
        raise typer.Exit(PROBLEM)
    if not yes:
        print_table(rows, title="To be erased")
        typer.confirm("Erase all of this? It cannot be undone.", abort=True)
    found = _run(settings, lambda pool: _found(pool, settings, wanted, leads, "subject_erased", reason))
    # From here on by ids and hashes: no other process sees a phone among its arguments.
    words = [("--subject", str(s)) for s in found.subjects] + [("--lead", x) for x in found.leads]
    words += [("--hash", h) for h in found.hashes] + [("--actor", operator().name), ("--reason", reason)]
    become_module("projections.subjects", ["erase", *(w for pair in words for w in pair)], data_dir)


@subject.command("reapply", epilog="Example: [bold]c2s subject reapply[/] after a backup was restored")
def reapply_command(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Erase anew whoever was erased before and has come back; `recover` and `rebuild` do it by themselves."""
    settings_of(data_dir)
    become_module("projections.subjects", ["reapply"], data_dir)


def _write(path: Path, text: str) -> None:
    """For our own eyes only."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
    print(f"written: {path}")


def _wanted(phone: str, email: str, cpf: str, leads: list[str] | None) -> list[Identifier]:
    if any(not is_lead_id(lead) for lead in leads or ()):
        raise SettingsError("--lead: that is no lead id")
    if not (phone or email or cpf or leads):
        phone = typer.prompt("Phone (empty for none)", default="", show_default=False)
        email = typer.prompt("E-mail (empty for none)", default="", show_default=False)
        cpf = typer.prompt("CPF (empty for none)", default="", show_default=False)
    found = []
    if phone:
        found.append(named("phone", phone))
    if email:
        found.append(named("email", email))
    if cpf:
        found.append(named("cpf", cpf))
    if not (found or leads):
        raise SettingsError("--phone, --email, --cpf, --lead: say whom you mean")
    return found


async def _show(
    pool: asyncpg.Pool, settings: Settings, wanted: list[Identifier], leads: list[str], reason: str
) -> list[dict[str, object]]:
    found = await _found(pool, settings, wanted, leads, "subject_shown", reason)
    async with pool.acquire() as conn:
        held = await dossier(conn, codec_of(settings), found.subjects, found.leads)
    return [
        {
            "lead_id": lead,
            "webhooks": len(what["webhooks"]),
            "repeats": sum(len(event["repeats"]) for event in what["webhooks"]),
            "messages": sum(1 for event in what["webhooks"] if event["went_to"]),
            "people": len(what["people"]),
            "last_at": max((event["received_at"] for event in what["webhooks"]), default=None),
        }
        for lead, what in held["leads"].items()
    ]


async def _found(  # noqa: PLR0917 -- what a command has at hand
    pool: asyncpg.Pool,
    settings: Settings,
    wanted: list[Identifier],
    leads: list[str],
    action: Action,
    reason: str,
) -> Found:
    """Find them, and note who asked before anything is told."""
    client = command_client(settings.redis_url.get_secret_value())
    try:
        async with pool.acquire() as conn:
            found = await find(conn, client, settings, codec_of(settings), wanted, leads)
    finally:
        await client.aclose()
    audit = Audit(pool)
    noted = await audit.note(operator(), action, " ".join(map(str, found.subjects)), reason)
    await audit.done(noted, len(found.leads))
    return found


def _run(settings: Settings, act: Callable[[asyncpg.Pool], Awaitable[R]]) -> R:
    async def main() -> R:
        pool = await create_pool(settings, min_size=0, max_size=2, application_name="c2s-subject")
        try:
            with translated("asking the record"):
                return await act(pool)
        finally:
            await pool.close()

    return asyncio.run(main())
