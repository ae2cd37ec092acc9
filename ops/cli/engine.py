"""Commands whose engine is the processor's: this process becomes it, for the system that is meant."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from ops.ages import since_of
from ops.cli.system import environment, settings_of
from schema.errors import SettingsError
from schema.times import to_text


def become_reconcile(since: str, *, check: bool, as_json: bool, data_dir: Path) -> NoReturn:
    """Turn this process into the comparison; does not return.

    Raises:
        SettingsError: ``since`` is no age and no time, or no system is named.
    """
    moment = since_of(since, datetime.now(UTC))
    if moment is None:
        raise SettingsError("--since: say since when to compare, e.g. 24h")
    settings_of(data_dir)  # refuses where no system is named
    options = ["--since", to_text(moment), *(["--check"] if check else []), *(["--json"] if as_json else [])]
    become_module("processor.reconcile", options, data_dir)


def become_module(module: str, options: list[str], data_dir: Path) -> NoReturn:
    """Turn this process into a module of a service, for the system that the data directory names."""
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", module, *options], environment(data_dir))  # noqa: S606 -- our own
