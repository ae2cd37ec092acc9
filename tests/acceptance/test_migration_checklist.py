"""The checklist of docs/migration.md, walked through with a second receiver that plays Make."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.make import Make, playing
from acceptance.running import END_S, ROOT, Up, clean_environment


@pytest.fixture
def make() -> Iterator[Make]:
    with playing() as make:
        yield make


def row(up: Up, lead_id: str, column: str) -> str:
    return up.psql(f"SELECT {column} FROM webhook_events WHERE lead_id = '{lead_id}'")  # noqa: S608 -- our own ids


def delivered(up: Up, count: int) -> None:
    up.eventually(lambda: json.loads(up.c2s("forwards", "--json").stdout), lambda f: f["delivered"] == count)


def test_the_checklist_from_phase_to_phase(make: Make, tmp_path: Path) -> None:
    """docs/migration.md walked through: by hand, registered, compared, switched, and back again.

    Make plays the old system: it messages every lead it gets while its scenario is on.
    """
    quick = {"C2S_RATE_LIMIT": "0", "FORWARD_URL": make.url}
    with Up(tmp_path, "--port", "0", "--no-traffic", env=quick | {"DRY_RUN": "true"}) as up:
        note = up.until_ready()
        # Phase 1: deployed, and the doctor has nothing against it.
        assert up.c2s("doctor").returncode == 0
        # Phase 2: by hand, with the plan's scripts.
        door = {"WEBHOOK_URL": note["webhook_url"], "C2S_WEBHOOK_SECRET": note["webhook_secret"]}
        assert '"accepted"' in shell("test_webhook_signature.sh", "test-lead-001", env=door)
        assert "accepted: 1, duplicates: 9" in shell("test_concurrent_requests.sh", "test-lead-002", env=door)
        # Phase 3: forwarding first, then registered: C2S sends to us, Make gets the same bytes.
        assert json.loads(up.c2s("forwards", "--json").stdout)["forwarding"] is True
        assert up.c2s("subscribe", "--signed", "--url", note["webhook_url"], "--yes").returncode == 0
        assert up.sandbox()["subscription"] is not None
        parallel = up.sandbox("leads", {"count": 3, "prefix": "parallel-", "deliver": True})["ids"]
        # Phase 4: compare. Each lead has the message it would have got, and C2S has none of ours.
        for lead in parallel:
            up.eventually(lambda lead=lead: row(up, lead, "result"), lambda result: result == "dry_run")
            told = up.c2s("events", "show", lead).stdout
            assert "message prepared, not sent (DRY_RUN):" in told
        delivered(up, 5)
        bodies = [json.loads(body) for body in make.bodies]
        leads = {body.get("lead_id") or body["data"]["id"] for body in bodies}
        assert leads == {"test-lead-001", "test-lead-002", *parallel}
        assert up.sandbox()["calls"]["c2s.create_message"] == 0
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(END_S) == 0
    # Phase 5: Make's scenario is paused, DRY_RUN unset: ours sends, to new leads only, each once.
    with Up(tmp_path, "--port", "0", "--no-traffic", env=quick) as up:
        up.until_ready()
        for lead in ("switched-1", "switched-2", parallel[0]):
            assert up.c2s("send", lead).returncode == 0
        for lead in ("switched-1", "switched-2"):
            up.eventually(lambda lead=lead: row(up, lead, "result"), lambda result: result == "sent")
            assert len(up.messages(lead)) == 1
        assert up.messages(parallel[0]) == []
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(END_S) == 0
    # Back: a dry run again; Make, resumed, still gets every webhook.
    with Up(tmp_path, "--port", "0", "--no-traffic", env=quick | {"DRY_RUN": "true"}) as up:
        up.until_ready()
        assert up.c2s("send", "back-1").returncode == 0
        up.eventually(lambda: row(up, "back-1", "result"), lambda result: result == "dry_run")
        delivered(up, 8)
        assert up.messages("back-1") == []
    assert json.loads(make.bodies[-1])["data"]["id"] == "back-1"


def shell(script: str, *words: str, env: dict[str, str]) -> str:
    """A script of ops/scripts; what it prints."""
    done = subprocess.run(
        ["bash", ROOT / "ops" / "scripts" / script, *words], env=clean_environment(env),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout
