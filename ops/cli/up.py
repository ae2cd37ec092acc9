"""`c2s up`: from the command line to the running system, and its exit code."""

import asyncio
from pathlib import Path

from ops.cli.output import WRONG_USE, console, say_error
from ops.cli.system import DEFAULT_DATA_DIR
from ops.dev.screen import Advice, Screen
from ops.dev.up import UpOptions, run_up
from ops.settings import load_settings
from schema.errors import SettingsError


def up_command(
    port: int | None, data_dir: Path, processors: int, traffic: bool, ready_file: Path | None
) -> int:
    """Run everything until a signal; 0 for an asked-for end, 2 for wrong settings.

    Raises:
        LeadstreamError: something could not be started.
    """
    screen = Screen(console(), Advice(data_dir, DEFAULT_DATA_DIR))
    try:
        settings = load_settings("cli")
        asyncio.run(run_up(UpOptions(port, data_dir, processors, traffic, ready_file), settings, screen))
    except SettingsError as error:
        say_error(f"wrong settings:\n{error}")
        return WRONG_USE
    return 0
