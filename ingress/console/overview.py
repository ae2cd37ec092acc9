"""The overview: how things are, and how they went."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ingress.console.charts import Line, chart, strip
from ingress.console.render import clock, say
from ops.alerts.store import AlertStore
from ops.alive import live_processors
from ops.operating import Operating
from ops.postgres import translated
from ops.queries import query
from ops.redis import run
from ops.redis import translated as redis_translated
from ops.settings import rate_interval_s
from schema.budget import APIS
from schema.errors import StorageUnavailable
from schema.keys import BudgetKeys, Keys
from schema.survey import read_survey, survey

# Length of a stretch in seconds, and how many of them.
SPANS = {"15m": (15, 60), "1h": (60, 60), "24h": (1200, 72), "7d": (7200, 84)}
_DAY_S = 86_400.0
_MINUTE_S = 60.0

Checkpoints = Mapping[tuple[int, str], str]


async def look(operating: Operating, span: str, language: str) -> dict[str, Any]:
    """Everything the page shows; what Redis says is None while it is away."""
    stretch_s, count = SPANS[span]
    with translated("reading how things went"):
        async with operating.pool.acquire() as connection:
            rows = await connection.fetch(query("over_time"), float(stretch_s), count)
            opened = await connection.fetch(query("breakers_open"), float(stretch_s * count))
            seen = await connection.fetch(query("checkpoints"))
            alerts = [a for a in await AlertStore(connection).recent(_DAY_S) if a.resolved_at is None]
    try:
        at = {(row["partition"], row["stream"]): row["entry_id"] for row in seen}
        redis: dict[str, Any] | None = await _redis(operating, at)
    except StorageUnavailable:
        redis = None
    ended = sum(row["success"] + row["failed"] for row in rows)
    p95s = [row["p95"] for row in rows if row["p95"] is not None]
    early, late = rows[0]["early"], rows[-1]["late"]
    return {
        "received": sum(row["received"] for row in rows),
        "rate": 100 * sum(row["success"] for row in rows) / ended if ended else None,
        "waiting": rows[-1]["waiting"],
        "p95": max(p95s) if p95s else None,
        "alerts": alerts,
        "redis": redis,
        "limit": operating.settings.c2s_rate_limit or "∞",
        "lag_most": operating.settings.alert_lag,
        "early": early,
        "late": late,
        "charts": _charts(rows, operating, stretch_s, language),
        "strips": {api: _strip(api, opened, early, late, language) for api in APIS},
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


def _strip(api: str, opened: Sequence[Any], early: datetime, late: datetime, language: str) -> Any:
    """When an API's breaker was open, from the alerts on it."""
    whole_s = (late - early).total_seconds()
    spans = []
    for row in opened:
        if row["api"] == api:
            begin = max(0.0, (row["opened_at"] - early).total_seconds() / whole_s)
            end = min(1.0, (row["closed_at"] - early).total_seconds() / whole_s)
            words = f"{clock(row['opened_at'])}–{clock(row['closed_at'])}: {say(language, 'api.open')}"
            spans.append((begin, end, words))
    return strip(say(language, "api.strip", api=api, n=len(spans)), spans)


async def _redis(operating: Operating, checkpoints: Checkpoints) -> dict[str, Any]:
    """Who works, how far the record is behind, and of each outside API what its row and its breaker say."""
    client, settings = operating.dead.client, operating.settings
    with redis_translated("reading the overview"):
        seen = []
        for n in range(settings.partitions.served):
            at = [checkpoints.get((n, stream), "0-0") for stream in ("webhooks", "outcomes")]
            seen.append(read_survey(await run(client, survey(Keys(n), *at))))
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
        processors = await live_processors(client, settings)
    lag_s = max((s.lag_s for s in seen if s.lag_s is not None), default=None)
    return {"dead": sum(s.dead for s in seen), "apis": apis, "processors": processors, "lag_s": lag_s}
