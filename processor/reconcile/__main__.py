"""``python -m processor.reconcile --since TIME [--check] [--json]``: for `c2s reconcile`.

Exit code 0: nothing is missing now; 1: with ``--check`` something is, or it could not finish; 2: wrong use.
"""

import argparse
import asyncio
import json
import sys
from datetime import datetime

import asyncpg
from redis.exceptions import RedisError

from ops.faults import told
from ops.lifecycle import EXIT_WRONG_SETTINGS
from ops.log import setup_logs
from ops.settings import Settings, load_settings
from processor.reconcile.runs import Run
from processor.reconcile.service import reconcile_since
from schema.errors import LeadstreamError, SettingsError
from schema.times import parse, to_text


def main(arguments: list[str] | None = None) -> int:
    """Run once; the exit code."""
    parser = argparse.ArgumentParser(prog="c2s reconcile")
    parser.add_argument("--since", required=True, help="compare leads updated since this time")
    parser.add_argument("--check", action="store_true", help="look only, append nothing")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    options = parser.parse_args(arguments)
    try:
        since = parse(options.since)
    except ValueError:
        parser.error("--since is not a time")
    try:
        settings = _settings()
        runs = asyncio.run(_run(settings, since, check=options.check))
    except SettingsError as error:
        return _fail(str(error), EXIT_WRONG_SETTINGS)
    except (LeadstreamError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError) as error:
        return _fail(f"{told(error)}; what was compared so far is kept, run it again to go on", 1)
    except KeyboardInterrupt:
        return _fail("stopped; run it again to go on", 1)
    _say(runs, as_json=options.json)
    return int(options.check and any(run.missing for run in runs))


def _settings() -> Settings:
    settings = load_settings("cli")
    if not settings.c2s_token.get_secret_value():
        raise SettingsError("C2S_TOKEN: is required to ask C2S for its leads")
    # This command speaks for itself; the log is for what goes wrong.
    setup_logs("warning", settings.log_format, service="reconcile", instance=settings.instance)
    return settings


async def _run(settings: Settings, since: datetime, *, check: bool) -> list[Run]:
    return await reconcile_since(settings, since, appends=not check, tell=_progress)


def _progress(run: Run) -> None:
    print(  # noqa: T201 -- a command prints
        f"page {run.next_page - 1}: {run.leads} leads compared, {run.missing} events missing, "
        f"{run.appended} appended",
        file=sys.stderr,
        flush=True,
    )


def _say(runs: list[Run], *, as_json: bool) -> None:
    counts = {
        name: sum(getattr(run, name) for run in runs) for name in ("leads", "found", "missing", "appended")
    }
    if as_json:
        print(json.dumps({"since": to_text(min(run.since for run in runs)), **counts}))  # noqa: T201
        return
    print(  # noqa: T201
        f"{counts['leads']} leads at C2S: {counts['found']} with nothing missing, "
        f"{counts['missing']} events missing, {counts['appended']} appended"
    )


def _fail(words: str, code: int) -> int:
    print(f"error: {words}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
