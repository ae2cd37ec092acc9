"""The outside APIs' circuit breakers, as `c2s doctor` shows them."""

from typing import Any

from ops.findings import Finding
from ops.redis import Client
from schema.budget import APIS
from schema.keys import BudgetKeys

_FIELDS = ("open", "since")


async def circuit_findings(client: Client, now_s: float) -> list[Finding]:
    """One finding per API; ``now_s`` is Redis's time."""
    findings = []
    for api in APIS:
        values: Any = await client.hmget(BudgetKeys(api).budget, _FIELDS)
        findings.append(circuit(api, now_s, *(float(value or 0) / 1000 for value in values)))
    return findings


def circuit(api: str, now_s: float, open_until_s: float, since_s: float) -> Finding:
    """Whether an API's breaker is open.

    Args:
        api: the API.
        now_s: epoch seconds.
        open_until_s: when it lets a probe through; 0 where it is closed.
        since_s: when it opened.
    """
    check = f"circuit {api}"
    if not open_until_s:
        return Finding(check, "ok", "closed")
    wait_s = open_until_s - now_s
    probe = f"the next probe in {wait_s:.0f} s" if wait_s > 0 else "a probe is due"
    remedy = f"see whether {api} is up; its leads wait without spending attempts and go on by themselves"
    return Finding(check, "warn", f"open for {max(0.0, now_s - since_s):.0f} s; {probe}", remedy)
