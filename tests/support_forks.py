"""`c2s` as a process that starts at once: forked from one that has imported what it needs.

The import is nine tenths of what most commands take, and the tests call some two hundred. Where the start is
what is tested, or signals are, a test runs the console script itself.
"""

import os
import sys
import time
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory

from ops.cli import main

_END_S = 90.0
_IN, _OUT, _ERR = "in", "out", "err"
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["ops.lean", "ops.cli.app", "aiohttp"])


def run_c2s(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, says: str = ""
) -> CompletedProcess[str]:
    """``c2s <words>`` to its end, with ``says`` as its input; of our environment it has PATH and HOME only.

    Raises:
        TimeoutExpired: it did not come to its end, and was killed.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / _IN).write_text(says, encoding="utf-8")
        told = (words, kept | dict(env or {}), cwd or Path.cwd(), folder)
        process = _FORKS.Process(target=_become, args=told)
        process.start()
        process.join(_END_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(["c2s", *words], _END_S)
        out, err = ((folder / file).read_text(encoding="utf-8") for file in (_OUT, _ERR))
        return CompletedProcess(["c2s", *words], process.exitcode, out, err)


def _become(words: tuple[str, ...], env: dict[str, str], cwd: Path, folder: Path) -> None:
    """In the forked process: what an interpreter does between its start and the console script."""
    for number, name in enumerate((_IN, _OUT, _ERR)):
        opened = os.open(folder / name, os.O_RDONLY if name == _IN else os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- until the process ends
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.argv = ["c2s", *words]
    main()
