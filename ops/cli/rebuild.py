"""`c2s rebuild`: becomes ``python -m projections.rebuild``, which knows the read models: `ops` may not."""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn


def rebuild_command(environ: Mapping[str, str], *, check: bool, as_json: bool) -> NoReturn:
    """Turn this process into the rebuild of the system that ``environ`` names."""
    sys.stdout.flush()
    words = [*(["--check"] if check else []), *(["--json"] if as_json else [])]
    command = [sys.executable, "-m", "projections.rebuild", *words]
    os.execve(sys.executable, command, dict(environ))  # noqa: S606 -- our own
