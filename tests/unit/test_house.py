"""The house itself: our packages are ours, and what is generated is up to date."""

import importlib
from pathlib import Path

import pytest

from ops.settings import Settings
from ops.settings_table import PAGE, renewed, whole_page

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["schema", "ops", "ingress", "processor", "projections"])
def test_a_package_of_ours_is_not_a_strangers(name):
    """Strangers use our top-level names too: what is imported lies in this tree."""
    module = importlib.import_module(name)
    assert Path(module.__file__).parent == ROOT / name


def test_the_settings_table_is_up_to_date():
    """README shows the settings that the code has (renew: python -m ops.settings_table README.md)."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert renewed(page) == page
    assert (ROOT / PAGE).read_text(encoding="utf-8") == whole_page()
    assert all(f"`{name.upper()}`" in whole_page() for name in Settings.model_fields)


def test_no_package_of_tests_shadows_ours():
    """An __init__.py below tests/ would make tests/unit/schema shadow schema."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
