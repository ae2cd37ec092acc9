"""The whole system as a newcomer starts it: one command, real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from acceptance.running import END_S, ROOT, Up, clean_environment
from support_forks import run_c2s

from ops.queries import query

MOST_RSS = 100 * 1024 * 1024
FAST = {"C2S_RATE_LIMIT": "0"}
SIGN = ROOT / "ops" / "scripts" / "test_webhook_signature.sh"
CONCURRENT = ROOT / "ops" / "scripts" / "test_concurrent_requests.sh"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up"), "--port", "0", "--no-traffic", env=FAST) as running:
        running.until_ready()
        yield running


def script(up: Up, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    note = up.note
    env = clean_environment(
        {
            "C2S_WEBHOOK_SECRET": note["webhook_secret"],
            "WEBHOOK_URL": f"{note['ingress_url']}/api/v1/webhook/leads",
        }
    )
    return subprocess.run(
        ["bash", path, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def status_of(up: Up, lead_id: str) -> str:
    return up.psql(f"SELECT status FROM webhook_events WHERE lead_id = '{lead_id}'")  # noqa: S608 -- our own ids


def test_the_plans_signature_script_makes_a_message_and_a_row(up: Up) -> None:
    """The seed's bash script, only its URL changed: the row says success, C2S holds exactly one message."""
    done = script(up, SIGN, "test-lead-001")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "accepted"
    up.eventually(lambda: status_of(up, "test-lead-001"), lambda status: status == "success")
    (message,) = up.messages("test-lead-001")
    assert message.splitlines()[-1] == f"ref: {answer['event_id'].replace('-', '')[:12]}"


def test_the_plans_queries_run_verbatim_in_psql(up: Up) -> None:
    """The three queries of the plan give right numbers in psql, and `c2s stats` gives the same."""
    assert script(up, SIGN, "counted-lead").returncode == 0
    up.eventually(lambda: status_of(up, "counted-lead"), lambda status: status == "success")
    total = up.psql("SELECT count(*) FROM webhook_events")
    by_status = up.psql(query("stats_by_status")).split("|")
    assert by_status[:2] == ["success", total]
    assert 0 < float(by_status[2]) < 60
    assert up.psql(query("stats_several_attempts")) == ""
    assert up.psql(query("stats_success_rate")) == "100.00"
    stats = json.loads(up.c2s("stats", "--json").stdout)
    assert stats["by_status"][0]["count"] == int(total)
    assert stats["success_rate"] == [{"success_rate": 100.0}]


def test_a_repeated_webhook_is_a_duplicate_and_sends_nothing(up: Up) -> None:
    """The same webhook again: answered duplicate with the first event id, one message, counted on its row."""
    first, second = (json.loads(script(up, SIGN, "repeated-lead").stdout) for _ in range(2))
    assert (first["status"], second["status"]) == ("accepted", "duplicate")
    assert first["event_id"] == second["event_id"]
    counted = "SELECT status, duplicate_count FROM webhook_events WHERE lead_id = 'repeated-lead'"
    up.eventually(lambda: up.psql(counted), lambda row: row == "success|1")
    assert len(up.messages("repeated-lead")) == 1


def test_concurrent_repeats_are_accepted_once(up: Up) -> None:
    """The plan's concurrency script: one of ten simultaneous deliveries is accepted, nine are duplicates."""
    done = script(up, CONCURRENT, "raced-lead", "10")
    assert done.returncode == 0, done.stdout + done.stderr
    up.eventually(lambda: status_of(up, "raced-lead"), lambda status: status == "success")
    assert len(up.messages("raced-lead")) == 1


def test_two_processors_share_fifty_leads(up: Up) -> None:
    """Fifty leads, two processors: 50 successes, 50 messages, no duplicate, and little memory."""
    order = {"count": 50, "prefix": "many-", "deliver": True}
    made = up.sandbox("leads", order)["ids"]
    counts = "SELECT status, count(*) FROM webhook_events WHERE lead_id LIKE 'many-%' GROUP BY status"
    up.eventually(lambda: up.psql(counts), lambda rows: rows == "success|50")
    messages = up.sandbox()["messages"]
    assert [len(messages[lead_id]) for lead_id in made] == [1] * 50
    assert up.psql("SELECT count(*) FROM webhook_duplicates WHERE lead_id LIKE 'many-%'") == "0"
    workers = "SELECT DISTINCT instance FROM webhook_events WHERE lead_id LIKE 'many-%' ORDER BY 1"
    assert up.psql(workers).split() == ["processor-1", "processor-2"]
    pids = up.note["pids"]
    sizes = {n: psutil.Process(pids[n]).memory_info().rss for n in ("ingress", "processor-1", "projector")}
    assert {name: size for name, size in sizes.items() if size >= MOST_RSS} == {}


def test_other_shells_find_the_running_system(up: Up) -> None:
    """Commands in the same directory need no settings: send, list, show, doctor; unknown names exit 1."""
    sent = up.c2s("send", "shell-lead", "--json")
    assert sent.returncode == 0, sent.stderr
    event_id = json.loads(sent.stdout)["event_id"]
    up.eventually(lambda: status_of(up, "shell-lead"), lambda status: status == "success")
    listed = json.loads(up.c2s("events", "list", "--lead", "shell-lead", "--json").stdout)
    assert [row["event_id"] for row in listed] == [event_id]
    story = up.c2s("events", "show", "shell-lead", "--reveal", "--reason", "try").stdout
    told = [story.index(words) for words in ("webhook accepted", "processing started", "lead processed")]
    assert told == sorted(told)
    assert f"ref: {event_id.replace('-', '')[:12]}" in story
    doctor = up.c2s("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "FAIL" not in doctor.stdout
    assert up.c2s("events", "show", "never-seen").returncode == 1
    compared = up.c2s("reconcile", "--check")
    assert (compared.returncode, ", 0 events missing" in compared.stdout) == (0, True), compared.stdout
    assert not compared.stdout.startswith("0 leads")


def test_secrets_and_notes_are_for_the_owner_only(up: Up) -> None:
    """Nobody else on the machine can read the secrets."""
    for path in (up.ready_file, up.data_dir / "up.json", up.data_dir / "secrets.json"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_killed_processor_comes_back_and_the_note_says_so(up: Up) -> None:
    """A service that dies is started again; the ready file has its new process id."""
    before = up.note["pids"]
    os.kill(before["processor-2"], signal.SIGKILL)
    up.until("processor-2 runs again")
    after = up.note["pids"]
    assert after["processor-2"] != before["processor-2"]
    assert after | {"processor-2": 0} == before | {"processor-2": 0}
    assert psutil.pid_exists(after["processor-2"])


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Sample leads flow; Ctrl-C ends everything with code 0; a second start finds data and secrets again."""
    with Up(tmp_path, "--port", "0") as first:
        note = first.until_ready()
        assert "success" in first.until("sent")
        # Where the console is, and what opens it, is said without a look into a file.
        first.until("Three things to try next")
        assert f"{note['ingress_url']}/console" in first.output
        assert note["admin_token"] in first.output
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(END_S) == 0
        assert first.left_over() == []
        assert not (first.data_dir / "up.json").exists()
        assert run_c2s("events", "list", cwd=tmp_path).returncode == 2
    with Up(tmp_path, "--port", "0", "--no-traffic") as second:
        again = second.until_ready()
        assert again["webhook_secret"] == note["webhook_secret"]
        assert int(second.psql("SELECT count(*) FROM webhook_events")) > 0
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(END_S) == 0
        assert second.left_over() == []


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    """A service that hangs holds up an orderly end; a second Ctrl-C ends it at once, all the same clean."""
    with Up(tmp_path, "--port", "0", "--no-traffic") as running:
        os.kill(running.until_ready()["pids"]["projector"], signal.SIGSTOP)
        running.process.send_signal(signal.SIGINT)
        running.until("stopping")
        running.process.send_signal(signal.SIGINT)
        running.process.wait(15)
        assert running.left_over() == []


def test_an_asked_for_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    """Port in use: exit code 2, the message names the port, nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_c2s("up", "--port", str(port), "--data-dir", "d", cwd=tmp_path)
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stderr
    assert not (tmp_path / "d" / "redis").exists()


def test_settings_that_contradict_stop_the_start(tmp_path: Path) -> None:
    """A wrong setting: exit code 2, one line that names it, before anything is started."""
    done = run_c2s("up", "--port", "0", cwd=tmp_path, env={"HEARTBEAT_SECS": "20"})
    assert done.returncode == 2
    assert "LEASE_TTL_SECS must be more than 3 x HEARTBEAT_SECS" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_refuses_its_settings_ends_everything(tmp_path: Path) -> None:
    """A real C2S without a token: the processor's own message is shown, exit code 2, nothing is left."""
    with Up(tmp_path, "--port", "0", env={"C2S_BASE_URL": "http://127.0.0.1:9"}) as running:
        running.until("C2S_TOKEN: is required by the processor")
        assert running.process.wait(END_S) == 2
        assert running.left_over() == []


def test_one_data_directory_serves_one_system(up: Up) -> None:
    """A second start on the same directory is refused with one clear line and harms nothing."""
    done = up.c2s("up", "--port", "0")
    assert done.returncode == 1
    assert "is in use by process" in done.stderr
    assert up.process.poll() is None
    assert (up.data_dir / "up.json").exists()
