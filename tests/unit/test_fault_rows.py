"""The register of faults leads where it says."""

import ast
from functools import cache
from pathlib import Path

import pytest
from fault_rows import ROWS

TESTS = Path(__file__).parents[1]
PACKAGES = ("schema", "ops", "ingress", "processor", "projections")


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@cache
def words_of_the_code() -> set[str]:
    """Every text that stands in our code by itself."""
    files = [path for package in PACKAGES for path in (TESTS.parent / package).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


@pytest.mark.parametrize("number", sorted(ROWS))
def test_a_row_leads_to_tests_and_log_lines_that_exist(number):
    """Each row has a test, every test it names can be run, every log line it names is one the code writes."""
    row = ROWS[number]
    assert row.tests
    for test in row.tests:
        file, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions_of(file), test
    assert set(row.events) <= words_of_the_code()
