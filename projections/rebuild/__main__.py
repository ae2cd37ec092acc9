"""``python -m projections.rebuild [--check] [--json]``: what `c2s rebuild` becomes."""

import argparse
import asyncio
import logging
import sys
from dataclasses import asdict

import asyncpg
import structlog
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ops.cli.output import PROBLEM, WRONG_USE, print_json, print_table, say_error
from ops.faults import told
from ops.postgres import CONNECT_TIMEOUT_S, translated
from ops.redis import command_client
from ops.seal import codec_of
from ops.settings import Settings, load_settings
from projections.models import models
from projections.rebuild.confine import confine
from projections.rebuild.run import Rebuild, Report
from projections.subjects.erase import Eraser
from schema.errors import LeadstreamError, SettingsError


async def rebuild(settings: Settings, *, check: bool, quiet: bool) -> Report:
    """Rebuild the settings' system.

    Raises:
        StorageUnavailable: Postgres is away.
        RebuildError: the rebuild could not be carried out; everything is as it was.
    """
    client = command_client(settings.redis_url.get_secret_value())
    with translated("connecting"):
        conn = await asyncpg.connect(
            settings.database_url.get_secret_value(),
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "c2s-rebuild", "timezone": "UTC"},
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
            task = bar.add_task("rebuild", total=None, rate="")
            if not check:
                # A restored backup may hold somebody who was erased since.
                await Eraser(conn, client, settings, codec_of(settings)).reapply()
            made = Rebuild(conn, client, models(codec_of(settings)), lambda *said: _show(bar, task, *said))
            with translated("rebuilding"):
                return await (made.check() if check else made.swap())
    finally:
        await conn.close(timeout=5)
        await client.aclose()


def _show(bar: Progress, task: TaskID, doing: str, done: int, total: int) -> None:
    speed = bar.tasks[0].speed
    rate = f"{speed:,.0f}/s" if speed else ""
    bar.update(task, description=doing, completed=done, total=total, rate=rate)


def as_dict(report: Report) -> dict[str, object]:
    """The report for machines."""
    per_second = round(report.entries / report.applied_s) if report.applied_s else 0
    return {
        "entries": report.entries,
        "entries_per_second": per_second,
        "swapped": report.swapped,
        "projector_held_s": round(report.held_s, 3),
        "differences": report.differences,
        "tables": {
            name: {"rows": t.rows, "differences": t.differences, "copied": report.copied.get(name, 0)}
            for name, t in report.tables.items()
        },
        "unarchived": report.unarchived,
        "examples": [asdict(example) for example in report.examples],
        "notes": report.notes,
    }


def tell(report: Report) -> None:
    """The report for people."""
    found = as_dict(report)
    print_table(
        [{"table": name, **row} for name, row in found["tables"].items()]  # type: ignore[attr-defined]
    )
    for example in report.examples:
        key = " ".join(f"{name}={value}" for name, value in example.key.items())
        print(f"{example.table} {key}: {example.kind}")
        for name, (live, rebuilt) in example.columns.items():
            print(f"    {name}: live {live}, rebuilt {rebuilt}")
    for entry in report.unarchived:
        print(f"not in the archive: {entry}")
    for note in report.notes:
        print(f"note: {note}")
    print(
        f"{report.entries:,} entries applied, {found['entries_per_second']:,} a second; "
        f"{report.differences:,} differences"
        + (f"; swapped, the projector waited {report.held_s:.1f} s" if report.swapped else "")
    )


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="c2s rebuild")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    # What the projector said when an entry came is not said again.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        settings = load_settings("cli")
        confine([settings.redis_url.get_secret_value(), settings.database_url.get_secret_value()])
        report = asyncio.run(rebuild(settings, check=words.check, quiet=words.json))
    except SettingsError as error:
        say_error(str(error))
        return WRONG_USE
    except (LeadstreamError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError) as error:
        say_error(told(error) or str(error))
        return PROBLEM
    if words.json:
        print_json(as_dict(report))
    else:
        tell(report)
    return PROBLEM if words.check and report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
