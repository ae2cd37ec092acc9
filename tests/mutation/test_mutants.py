"""Each mechanism is needed: turning any one off makes the tests named for it fail.

Here are those whose guards need no servers; `test_mutants_on_servers` has the others, so that two workers can
take one half each.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from mutation.mutants import MUTANTS, Mutant
from mutation.running import PACKAGES, copied, failed, guards_of, mutate

BARE = [mutant for mutant in MUTANTS if not mutant.on_servers]


def test_the_copied_tree_runs_its_own_code(tmp_path: Path) -> None:
    """Python run in a copy imports the copy's packages, not the installed ones."""
    names = ", ".join(PACKAGES[:-1])
    code = f"import {names}; print(*(package.__file__ for package in ({names})))"
    tree = copied(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=True)
    assert all(Path(name).is_relative_to(tree) for name in done.stdout.split())


def test_the_guards_pass_on_the_source_as_it_is(tmp_path: Path) -> None:
    """Unchanged, no guard fails: what makes them fail below is the mutation."""
    assert failed(copied(tmp_path), guards_of(BARE)) == set()


@pytest.mark.parametrize("mutant", BARE, ids=lambda mutant: mutant.name)
def test_turning_it_off_is_noticed(tmp_path: Path, mutant: Mutant) -> None:
    """With this mechanism off, every test named for it fails."""
    tree = copied(tmp_path)
    mutate(tree, mutant)
    assert failed(tree, mutant.guards) == set(mutant.guards)
