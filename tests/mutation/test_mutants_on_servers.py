"""Mechanisms whose need shows only on real servers; see `test_mutants`."""

from pathlib import Path

import pytest

from mutation.mutants import MUTANTS, Mutant
from mutation.running import copied, failed, guards_of, mutate

ON_SERVERS = [mutant for mutant in MUTANTS if mutant.on_servers]


def test_the_guards_pass_on_the_source_as_it_is(tmp_path: Path) -> None:
    """Unchanged, no guard fails."""
    assert failed(copied(tmp_path), guards_of(ON_SERVERS)) == set()


@pytest.mark.parametrize("mutant", ON_SERVERS, ids=lambda mutant: mutant.name)
def test_turning_it_off_is_noticed(tmp_path: Path, mutant: Mutant) -> None:
    """With this mechanism off, every test named for it fails."""
    tree = copied(tmp_path)
    mutate(tree, mutant)
    assert failed(tree, mutant.guards) == set(mutant.guards)
