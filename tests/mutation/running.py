"""Running the guards of a mutant in a copy of the source tree, by a pytest of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from mutation.mutants import SERVERS, Mutant

ROOT = Path(__file__).parents[2]
PACKAGES = ("schema", "ops", "ingress", "processor", "projections", "tests")
# The plugins of other tests, and servers where none are needed, would take half of each run's time.
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PLUGINS = ("-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "pytest_timeout")


def copied(to: Path) -> Path:
    """A copy of everything that tests run."""
    for name in PACKAGES:
        # With what was compiled, valid where the text is the same; but nothing half written.
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(ROOT / "pyproject.toml", to)
    return to


def failed(tree: Path, guards: tuple[str, ...]) -> set[str]:
    """The guards that fail in a tree.

    Raises:
        AssertionError: pytest could not run them all, or ran another tree's code.
    """
    alone = () if any(guard.startswith(SERVERS) for guard in guards) else ("--noconftest",)
    command = [sys.executable, "-m", "pytest", "-q", *PLUGINS, *alone, "--tb=no", "-rfp", *guards]
    done = subprocess.run(
        command,
        cwd=tree,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SIM_"))} | BARE,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    verdicts = [line.split(" - ")[0].partition(" ") for line in done.stdout.splitlines()]
    ended = {guard for guard in guards for _, _, test in verdicts if test.startswith(guard)}
    assert ended == set(guards), done.stdout
    fallen = [test for verdict, _, test in verdicts if verdict == "FAILED"]
    return {guard for guard in guards if any(test.startswith(guard) for test in fallen)}


def mutate(tree: Path, mutant: Mutant) -> None:
    """Turn a mechanism off.

    Raises:
        AssertionError: its text is no longer there: name the new one in `mutation.mutants`.
    """
    file = tree / mutant.path
    text = file.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.path} no longer holds, once: {mutant.old}"
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def guards_of(mutants: list[Mutant]) -> tuple[str, ...]:
    """All guards of some mutants, each once."""
    return tuple(sorted({guard for mutant in mutants for guard in mutant.guards}))
