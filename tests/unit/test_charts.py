"""Charts of text."""

import pytest

from ops.cli.charts import bar, sparkline


@pytest.mark.parametrize(
    ("value", "most", "shown"),
    [
        (0, 10, ""),
        (10, 10, "████"),
        (5, 10, "██"),
        (1, 1000, "▏"),
        (20, 10, "████"),
        (3, 0, ""),
        (5, 16, "█▎"),
    ],
)
def test_a_bar_is_as_long_as_its_share(value, most, shown):
    """To an eighth of a character; a little is never nothing, too much never too long."""
    assert bar(value, most, 4) == shown


def test_a_sparkline_shows_every_value():
    """The greatest is full height, nothing is a gap, and nothing at all is only gaps."""
    assert sparkline([0, 1, 4, 8]) == " ▂▅█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""
