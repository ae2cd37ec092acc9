"""All that people and alerts ask the record: each view, and each named query with its arguments."""

from pathlib import Path
from uuid import UUID

import asyncpg

import ops.queries
from ops.queries import query

VIEWS = "SELECT viewname FROM pg_views WHERE schemaname = 'public' ORDER BY 1"
QUERIES = Path(ops.queries.__file__).parent
EVENT = UUID("11111111-1111-5111-8111-111111111111")
# Every named query, and what it is asked with.
ASKED: dict[str, tuple[object, ...]] = {
    "stats_by_status": (),
    "stats_several_attempts": (),
    "stats_success_rate": (),
    "alerts_record": (3600.0, 3, "vanished"),
    "alerts_silence": (8, 3600.0),
    "breakers_open": (86_400.0,),
    "checkpoints": (),
    "event_facts": ([EVENT],),
    "event_rows": (EVENT, "s1-5"),
    "events_by_id": ([EVENT],),
    "events_list": (None, None, None, None, 20, None, None, None),
    "leads_list": (None, 20, None, None),
    "over_time": (3600.0, 24),
    "payloads_latest": (200,),
    "people_list": (20, None, None),
    "spooled": (EVENT, None),
}


async def questions(conn: asyncpg.Connection) -> dict[str, tuple[str, tuple[object, ...]]]:
    """Text and arguments of each, by the name of the query or view."""
    views = {row["viewname"]: f"SELECT * FROM {row['viewname']}" for row in await conn.fetch(VIEWS)}
    asked = {name: (query(name), arguments) for name, arguments in ASKED.items()}
    return asked | {name: (text, ()) for name, text in views.items()}
