"""How Postgres is to plan what a batch asks of it: by keys, whatever the planner thinks of a table.

A batch touches few rows, all by keys that have an index. A planner that saw a table while it was empty (as
autovacuum does on the first day) thinks that reading all of it is cheaper, and keeps that plan while it
grows: every batch would cost more than the one before, and so would the checks of foreign keys.
"""

_OTHERS = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan")
BY_KEYS = "; ".join(f"SET {name} TO off" for name in _OTHERS)
AS_USUAL = "; ".join(f"SET {name} TO DEFAULT" for name in _OTHERS)
