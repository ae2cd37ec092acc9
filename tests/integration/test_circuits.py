"""What the doctor says of circuit breakers."""

from ops.circuits import circuit, circuit_findings
from ops.redis import command_client, run
from schema import budget, outside
from schema.budget import APIS, BreakerPolicy


def test_a_closed_breaker_is_fine():
    """Nothing to do."""
    assert circuit("work", 100.0, 0.0, 0.0).level == "ok"


def test_an_open_breaker_says_since_when_and_what_next():
    """How long it has been open, and when it is tried again."""
    waiting, due = circuit("work", 100.0, 130.0, 90.0), circuit("work", 140.0, 130.0, 90.0)
    assert (waiting.level, waiting.found) == ("warn", "open for 10 s; the next probe in 30 s")
    assert due.found == "open for 50 s; a probe is due"


async def test_it_reads_what_the_script_wrote(redis_url):
    """One failure opens the breaker of one API; the others are closed."""
    client = command_client(redis_url)
    policy = BreakerPolicy(rate=0.5, failures=1, open_s=60, open_max_s=60)
    await run(client, outside.call([budget.failed("work", "t", policy)]))
    seconds, _ = await client.time()
    found = {finding.check: finding for finding in await circuit_findings(client, seconds)}
    assert [found[f"circuit {api}"].level for api in APIS] == ["ok", "ok", "warn"]
    assert "the next probe in" in found["circuit work"].found
    await client.aclose()
