"""Moving from another system: copies go to FORWARD_URL, and DRY_RUN prepares messages that nobody gets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.make import Make, playing
from acceptance.running import Up


@pytest.fixture
def make() -> Iterator[Make]:
    with playing() as make:
        yield make


def test_a_dry_run_beside_the_old_system(make: Make, tmp_path: Path) -> None:
    """The lead is enriched and its message kept to compare; C2S gets none, Make the webhook."""
    env = {"DRY_RUN": "true", "FORWARD_URL": make.url, "C2S_RATE_LIMIT": "0"}
    with Up(tmp_path, "--port", "0", "--no-traffic", env=env) as up:
        up.until_ready()
        sent = json.loads(up.c2s("send", "lead-7", "--json").stdout)
        assert sent["status"] == "accepted"

        def shown() -> dict[str, object]:
            words = ("--reveal", "--reason", "compared with the old system's", "--json")
            (event,) = json.loads(up.c2s("events", "show", sent["event_id"], *words).stdout)["events"]
            return dict(event)

        event = up.eventually(shown, lambda e: (e["row"] or {}).get("status") == "success")
        told = up.c2s("events", "show", "lead-7").stdout
        forwards = up.eventually(
            lambda: json.loads(up.c2s("forwards", "--json").stdout), lambda f: f["delivered"] == 1
        )
        calls = up.sandbox()["calls"]
        messages = up.messages("lead-7")
    assert event["row"]["result"] == "dry_run"
    assert str(event["message"]).splitlines()[-1] == f"ref: {sent['event_id'].replace('-', '')[:12]}"
    assert "message prepared, not sent (DRY_RUN):" in told
    assert messages == []
    assert calls["diretrix.phone"] >= 1
    assert calls["c2s.create_message"] == 0
    assert (forwards["waiting"], forwards["failed"]) == (0, 0)
    assert [json.loads(body)["data"]["id"] for body in make.bodies] == ["lead-7"]
