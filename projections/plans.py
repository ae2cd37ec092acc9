"""How Postgres is to plan what a batch asks of it.

A batch touches few rows, all by their keys. A planner that knows a table from its first day, or takes reading
at random for dear, would read the whole of it instead: for every batch more.
"""

_JOINS = ("enable_hashjoin", "enable_mergejoin")
BY_KEYS = "; ".join(f"SET {name} TO off" for name in _JOINS)
AS_USUAL = "; ".join(f"SET {name} TO DEFAULT" for name in _JOINS)
