"""The overview: how things are, and how they went."""

from typing import Any

from ingress.console.charts import Line, chart
from ingress.console.render import clock, say
from ops.alerts.store import AlertStore
from ops.operating import Operating
from ops.postgres import translated
from ops.queries import query
from ops.redis import translated as redis_translated
from ops.settings import rate_interval_s
from schema.budget import APIS
from schema.errors import StorageUnavailable
from schema.keys import BudgetKeys, Keys

# Length of a stretch in seconds, and how many of them.
SPANS = {"15m": (15, 60), "1h": (60, 60), "24h": (1200, 72), "7d": (7200, 84)}
_DAY_S = 86_400.0
_MINUTE_S = 60.0


async def look(operating: Operating, span: str, language: str) -> dict[str, Any]:
    """Everything the page shows; what Redis says is None while it is away."""
    stretch_s, count = SPANS[span]
    with translated("reading how things went"):
        async with operating.pool.acquire() as connection:
            rows = await connection.fetch(query("over_time"), float(stretch_s), count)
            alerts = [a for a in await AlertStore(connection).recent(_DAY_S) if a.resolved_at is None]
    try:
        redis: dict[str, Any] | None = await _redis(operating)
    except StorageUnavailable:
        redis = None
    ended = sum(row["success"] + row["failed"] for row in rows)
    p95s = [row["p95"] for row in rows if row["p95"] is not None]
    return {
        "received": sum(row["received"] for row in rows),
        "rate": 100 * sum(row["success"] for row in rows) / ended if ended else None,
        "waiting": rows[-1]["waiting"],
        "p95": max(p95s) if p95s else None,
        "alerts": alerts,
        "redis": redis,
        "limit": operating.settings.c2s_rate_limit or "∞",
        "early": rows[0]["early"],
        "late": rows[-1]["late"],
        "charts": _charts(rows, operating, stretch_s, language),
    }


def _charts(rows: Any, operating: Operating, stretch_s: int, language: str) -> list[dict[str, Any]]:
    interval = rate_interval_s(operating.settings.c2s_rate_limit)
    rates = [
        100 * row["success"] / (row["success"] + row["failed"]) if row["success"] + row["failed"] else None
        for row in rows
    ]
    per_minute = [row["c2s_calls"] * _MINUTE_S / stretch_s for row in rows]

    def column(name: str) -> list[Any]:
        return [row[name] for row in rows]

    drawn = [
        ("throughput", [Line("ok", column("success")), Line("bad", column("failed"))], True, 4, 0),
        ("success_rate", [Line("ok", rates)], False, 100, 0),
        ("latency", [Line("p50", column("p50")), Line("p95", column("p95"))], False, 1, 0),
        ("queue", [Line("info", column("waiting"))], True, 4, 0),
        ("c2s_calls", [Line("info", per_minute)], True, 4, _MINUTE_S / interval if interval else 0),
        ("alerts", [Line("bad", column("alerts"))], True, 2, 0),
    ]
    found = []
    for name, lines, bars, most, limit in drawn:
        title = say(language, f"chart.{name}")
        top = max([value for line in lines for value in line.values if value is not None], default=0)
        label = say(language, "chart.label", title=title, top=f"{top:.4g}")
        keys = [(line.css, say(language, f"key.{name}.{line.css}")) for line in lines]
        notes = [_note(row, [line.values[n] for line in lines], keys) for n, row in enumerate(rows)]
        drawing = chart(label, lines, bars=bars, most=most, limit=limit, notes=notes)
        found.append({"name": name, "title": title, "drawing": drawing, "keys": keys})
    return found


def _note(row: Any, values: list[float | None], keys: list[tuple[str, str]]) -> str:
    """What one stretch of time had; nothing where it had nothing."""
    if not any(values):
        return ""
    told = ", ".join(
        f"{word.partition(';')[0]} {value:.4g}"
        for value, (_, word) in zip(values, keys, strict=True)
        if value is not None
    )
    return f"{clock(row['early'])}–{clock(row['late'])}: {told}"


async def _redis(operating: Operating) -> dict[str, Any]:
    """Dead letters, and of each outside API what its row and its breaker say."""
    client = operating.dead.client
    partitions = operating.settings.stream_partitions
    with redis_translated("reading the overview"):
        dead = sum([await client.xlen(Keys(n).dead) for n in range(partitions)])
        apis = []
        for api in APIS:
            keys = BudgetKeys(api)
            values: Any = await client.hmget(keys.budget, ["open", "calls", "calls0", "bad", "bad0"])
            numbers = [float(value or 0) for value in values]
            row: int = await client.zcard(keys.row)
            apis.append(
                {"name": api, "open": numbers[0] > 0, "calls": numbers[1] + numbers[2],
                 "bad": numbers[3] + numbers[4], "row": row}
            )  # fmt: skip
    return {"dead": dead, "apis": apis}
