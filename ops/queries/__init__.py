"""Named queries of the operator: one commented SQL file each."""

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    """The text of ``<name>.sql``, read once per process."""
    return (files("ops") / "queries" / f"{name}.sql").read_text(encoding="utf-8")
