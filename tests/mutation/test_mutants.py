"""Each mechanism is needed: turning any one off makes the tests named for it fail.

The mutants are copies of the source tree with one text changed; a pytest of its own runs the guards there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutation.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PACKAGES = ("schema", "ops", "ingress", "processor", "projections", "tests")

# The plugins of other tests, and servers where none are needed, would take half of each run's time.
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PLUGINS = ("-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "pytest_timeout")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of everything that tests run."""
    for name in PACKAGES:
        # With what was compiled, which is valid where the text is the same.
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def failed(tree: Path, guards: tuple[str, ...]) -> set[str]:
    """The guards that fail in a tree.

    Raises:
        AssertionError: pytest could not run them all, or ran another tree's code.
    """
    alone = () if any(guard.startswith("tests/integration/") for guard in guards) else ("--noconftest",)
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


def test_the_copied_tree_runs_its_own_code(tree: Path) -> None:
    """Python run in a copy imports the copy's packages, not the installed ones."""
    names = ", ".join(PACKAGES[:-1])
    code = f"import {names}; print(*(package.__file__ for package in ({names})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=True)
    assert all(Path(name).is_relative_to(tree) for name in done.stdout.split())


def test_the_guards_pass_on_the_source_as_it_is(tree: Path) -> None:
    """Unchanged, no guard fails: what makes them fail below is the mutation."""
    assert failed(tree, tuple(sorted({guard for mutant in MUTANTS for guard in mutant.guards}))) == set()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_turning_it_off_is_noticed(tree: Path, mutant: Mutant) -> None:
    """With this mechanism off, every test named for it fails."""
    mutate(tree, mutant)
    assert failed(tree, mutant.guards) == set(mutant.guards)
