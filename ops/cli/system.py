"""Which system a command means: the environment's, or the `c2s up` that runs on the data directory."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ops.dev.ready import running_environment
from ops.settings import Settings, load_settings
from schema.errors import SettingsError

DEFAULT_DATA_DIR = Path(".c2s")

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="C2S_DATA_DIR",
        help="Where `c2s up` runs. Its system is used unless REDIS_URL and DATABASE_URL name another.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines instead of tables.")]


def environment(data_dir: Path) -> dict[str, str]:
    """Our environment, completed with that of the system running on the data directory, if any."""
    found = running_environment(data_dir, os.environ)
    return {n: v for n, v in found.items() if f"{n}_FILE" not in os.environ} | dict(os.environ)


def settings_of(data_dir: Path) -> Settings:
    """The settings of the system a command means.

    Raises:
        SettingsError: a setting is wrong, or neither the environment nor a running `c2s up` names a system.
    """
    values = environment(data_dir)
    named = any(values.get(name) for n in ("REDIS_URL", "DATABASE_URL") for name in (n, f"{n}_FILE"))
    if not named:
        raise SettingsError(
            f"REDIS_URL, DATABASE_URL: not set, and no `c2s up` is running on {data_dir}; "
            "start one, name its --data-dir, or set them"
        )
    return load_settings("cli", values)
