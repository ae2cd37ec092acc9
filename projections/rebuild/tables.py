"""The new tables: made like the live ones, filled, and put in their place."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg

from projections.model import Table

SCHEMA, LIVE, RETIRED = "rebuild", "public", "retired"

_CONSTRAINTS = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE conrelid = $1::text::regclass AND contype::text = ANY($2::text[]) ORDER BY contype <> 'p', conname
"""
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
WHERE i.indrelid = $1::text::regclass
  AND NOT EXISTS (SELECT 1 FROM pg_constraint c
    WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
"""
_COLUMNS = """
SELECT attname AS name, attidentity <> '' AS is_identity FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_GRANTS = """
SELECT format('GRANT %s ON %I.%I TO %s', a.privilege_type, $2::text, c.relname,
    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) AS grant
FROM pg_class c, aclexplode(c.relacl) AS a WHERE c.oid = $1::text::regclass AND a.grantee <> c.relowner
"""
# Views that read any of the tables, and views on those views; the ones that others build on come first.
_VIEWS = """
WITH RECURSIVE dependent(oid, depth) AS (
    SELECT r.ev_class, 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = ANY($1::text[]::regclass[]::oid[])
      AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> d.refobjid
    UNION ALL
    SELECT r.ev_class, v.depth + 1 FROM dependent v JOIN pg_depend d ON d.refobjid = v.oid
    JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND r.ev_class <> d.refobjid
)
SELECT oid::regclass::text AS name, pg_get_viewdef(oid) AS definition FROM dependent
GROUP BY oid ORDER BY max(depth), oid
"""
_COMMENTS = """
SELECT CASE WHEN objsubid = 0 THEN format('COMMENT ON VIEW %s IS %L', $1::text::regclass, description)
    ELSE format('COMMENT ON COLUMN %s.%I IS %L', $1::text::regclass, (SELECT attname FROM pg_attribute
        WHERE attrelid = objoid AND attnum = objsubid), description) END AS comment
FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = $1::text::regclass
"""


async def create(conn: asyncpg.Connection, tables: Iterable[Table]) -> None:
    """Empty tables like the live ones, with their keys; names resolve to them and to nothing else."""
    await conn.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    for table in tables:
        await conn.execute(
            f"CREATE TABLE {SCHEMA}.{table.name} (LIKE {LIVE}.{table.name} INCLUDING ALL EXCLUDING INDEXES)"
        )
        await _constrain(conn, table, ("p", "u"))
    await conn.execute(f"SET LOCAL search_path TO {SCHEMA}")


async def _constrain(conn: asyncpg.Connection, table: Table, kinds: Sequence[str]) -> None:
    for row in await conn.fetch(_CONSTRAINTS, f"{LIVE}.{table.name}", list(kinds)):
        definition = row["definition"].replace(f" REFERENCES {LIVE}.", f" REFERENCES {SCHEMA}.", 1)
        await conn.execute(f'ALTER TABLE {SCHEMA}.{table.name} ADD CONSTRAINT "{row["name"]}" {definition}')


async def copy_older(conn: asyncpg.Connection, table: Table, horizon: datetime) -> int:
    """Copy the live rows that may depend on what the archive has lost; how many."""
    columns = await conn.fetch(_COLUMNS, f"{LIVE}.{table.name}")
    names = ", ".join(f'"{row["name"]}"' for row in columns)
    done = await conn.execute(
        f"INSERT INTO {table.name} ({names}) OVERRIDING SYSTEM VALUE"  # noqa: S608 -- our own names
        f" SELECT {names} FROM {LIVE}.{table.name} t WHERE {table.older}",
        horizon,
    )
    for row in columns:
        if row["is_identity"]:
            await conn.execute(
                f"SELECT setval(pg_get_serial_sequence('{SCHEMA}.{table.name}', $1), max(id))"  # noqa: S608
                f' FROM (SELECT max("{row["name"]}") AS id FROM {table.name}) AS m WHERE id IS NOT NULL',
                row["name"],
            )
    return int(done.rpartition(" ")[2])


async def complete(conn: asyncpg.Connection, tables: Iterable[Table]) -> None:
    """The other indexes, foreign keys, and statistics: cheaper once the rows are there."""
    for table in tables:
        for row in await conn.fetch(_INDEXES, f"{LIVE}.{table.name}"):
            await conn.execute(row["definition"].replace(f" ON {LIVE}.", f" ON {SCHEMA}.", 1))
    for table in tables:
        await _constrain(conn, table, ("f",))
        await conn.execute(f"ANALYZE {table.name}")


async def exchange(conn: asyncpg.Connection, tables: Sequence[Table]) -> None:
    """Put the new tables in the live ones' place, with their grants; views on them are made anew."""
    await conn.execute(f"SET LOCAL search_path TO {LIVE}")
    names = [f"{LIVE}.{table.name}" for table in tables]
    grants = [row["grant"] for name in names for row in await conn.fetch(_GRANTS, name, LIVE)]
    views = await conn.fetch(_VIEWS, names)
    words: list[str] = []
    for view in views:
        words.append(f"CREATE VIEW {view['name']} AS {view['definition']}")
        words += [row["comment"] for row in await conn.fetch(_COMMENTS, view["name"])]
        words += [row["grant"] for row in await conn.fetch(_GRANTS, view["name"], LIVE)]
    for view in reversed(views):
        await conn.execute(f"DROP VIEW {view['name']}")
    await conn.execute(f"CREATE SCHEMA {RETIRED}")
    for table in tables:
        await conn.execute(f"ALTER TABLE {LIVE}.{table.name} SET SCHEMA {RETIRED}")
        await conn.execute(f"ALTER TABLE {SCHEMA}.{table.name} SET SCHEMA {LIVE}")
    await conn.execute(f"DROP SCHEMA {SCHEMA}")
    for statement in (*words, *grants):
        await conn.execute(statement)
    # Without CASCADE: what somebody hung on the old tables from outside stops the swap instead of vanishing.
    for table in reversed(tables):
        await conn.execute(f"DROP TABLE {RETIRED}.{table.name}")
    await conn.execute(f"DROP SCHEMA {RETIRED}")
