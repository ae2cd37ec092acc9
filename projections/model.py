"""What a read model is: tables, and the one function that applies facts to them.

The live projector and the rebuild use the same function. For that it must name its tables without a schema,
write nothing that does not follow from the facts (no NOW(), no count that a repeated fact would change), and
make no outside call. `docs/adding-a-projection.md` shows one from beginning to end.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg

from projections.batch import Fact

Apply = Callable[[asyncpg.Connection, Sequence[Fact]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a read model.

    Attributes:
        key: the columns that name a row, whatever surrogate keys it has.
        older: SQL condition on ``t``: the row may depend on facts older than ``$1::timestamptz``, which the
            archive lost by retention. A rebuild copies such rows before it applies what the archive still
            has. It may name tables of the read models before this one, which then hold their copied rows.
        personal: columns whose values no report may show.
        compared: the rows as a rebuild compares them, as a SELECT whose tables are written ``{schema}.name``;
            empty: the table as it stands.
    """

    name: str
    key: tuple[str, ...]
    older: str
    personal: frozenset[str] = frozenset()
    compared: str = ""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """Tables that follow from the facts.

    Attributes:
        apply: brings them up to date with a batch; meeting a fact again changes nothing.
    """

    tables: tuple[Table, ...]
    apply: Apply
