"""Migrations: forward only, checksummed, each in a transaction of its own, one runner at a time.

An applied migration is history: if its file changed or vanished, the runner stops before touching anything.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from ops.postgres import translated
from schema.errors import MigrationError

_LOCK = 0x633273  # any constant of our own; pg_advisory_lock's key
_MONTHS_AHEAD = 3
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version TEXT PRIMARY KEY,
    checksum TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; ``version`` is its name without ``.sql``."""

    version: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The project's migrations, in order."""
    folder = files("schema") / "migrations"
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [Migration(n.removesuffix(".sql"), (folder / n).read_text(encoding="utf-8")) for n in names]


async def migrate(dsn: str, known: list[Migration] | None = None) -> list[str]:
    """Apply what is pending; the versions applied now.

    Raises:
        MigrationError: an applied migration changed or vanished; nothing was changed.
        StorageUnavailable: Postgres is away.
    """
    with translated("migrating"):
        conn = await asyncpg.connect(dsn, timeout=10)
        try:
            await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)
            await conn.execute(_TABLE)
            todo = await _todo(conn, migrations() if known is None else known)
            for migration in todo:
                async with conn.transaction():
                    await conn.execute(migration.sql)
                    await conn.execute(
                        "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)",
                        migration.version,
                        migration.checksum,
                    )
            if await conn.fetchval("SELECT to_regclass('event_log') IS NOT NULL"):
                await conn.execute("SELECT ensure_event_log_partitions(NOW(), $1)", _MONTHS_AHEAD)
        finally:
            await conn.close()
    return [m.version for m in todo]


async def pending(conn: asyncpg.Connection) -> list[str]:
    """The versions that `migrate` would apply; errors as there."""
    if await conn.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        return [m.version for m in migrations()]
    return [m.version for m in await _todo(conn, migrations())]


async def _todo(conn: asyncpg.Connection, known: list[Migration]) -> list[Migration]:
    rows = await conn.fetch("SELECT version, checksum FROM schema_migrations")
    applied = {row["version"]: row["checksum"] for row in rows}
    by_version = {m.version: m for m in known}
    for version, checksum in applied.items():
        if version not in by_version:
            raise MigrationError(f"migration {version} was applied here but its file is missing: older code?")
        if by_version[version].checksum != checksum:
            raise MigrationError(f"migration {version} was changed after it was applied; restore its file")
    return [m for m in known if m.version not in applied]
