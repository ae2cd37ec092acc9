"""How Postgres is to plan what a batch asks of it: by keys, whatever the planner thinks of a table.

A batch touches few rows, all by keys that have an index. A planner that saw a table while it was empty (as
autovacuum does on the first day) thinks that reading all of it is cheaper, and keeps that plan while it
grows: every batch would cost more than the one before, and so would the checks of foreign keys.
"""

_SETTINGS = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",  # made once: none would be better for a batch's own values
}
BY_KEYS = "; ".join(f"SET {name} TO {value}" for name, value in _SETTINGS.items())
AS_USUAL = "; ".join(f"SET {name} TO DEFAULT" for name in _SETTINGS)
