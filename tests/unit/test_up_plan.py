"""What `c2s up` decides before it starts anything, and what it keeps."""

import itertools
import json
import os
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.dev import up
from ops.dev.credentials import Credentials, credentials_for
from ops.dev.errors import DevServerError
from ops.dev.plan import Plan, Ports
from ops.dev.ready import FILE_NAME, Ready, running_environment, write_ready
from ops.dev.traffic import samples
from ops.sandbox.webhooks import webhook_body
from ops.settings import load_settings
from schema.errors import SettingsError
from schema.identity import CREATE, UPDATE, is_lead_id
from schema.webhook import parse_body

CREDENTIALS = Credentials("secret", "token", "admin", "trigger")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not reach these tests."""
    for name in (
        "REDIS_URL",
        "DATABASE_URL",
        "C2S_BASE_URL",
        "C2S_TOKEN",
        "C2S_WEBHOOK_SECRET",
        "LOG_LEVEL",
        "PORT",
    ):
        monkeypatch.delenv(name, raising=False)


def plan(**given: str) -> Plan:
    return Plan(
        load_settings("cli", given), CREDENTIALS, Ports(8080, 9000), "redis://r:1/0", "postgresql://p:2/d", 2
    )


def test_everything_is_started_under_its_own_name() -> None:
    """Sandbox, door, engines, record, in this order; each knows its name."""
    specs = plan().services()
    assert [spec.name for spec in specs] == ["sandbox", "ingress", "processor-1", "processor-2", "projector"]
    assert all(spec.env["INSTANCE"] == spec.name for spec in specs)
    assert specs[1].env["PORT"] == "8080"
    assert specs[1].env["HOST"] == "127.0.0.1"


def test_each_process_serves_its_metrics_on_a_port_of_its_own() -> None:
    """They count on from METRICS_PORT, the projector's first; without it none is opened."""
    ports = {spec.name: spec.env.get("METRICS_PORT") for spec in plan(METRICS_PORT="9100").services()}
    assert ports["projector"] == "9100"
    assert (ports["processor-1"], ports["processor-2"]) == ("9101", "9102")
    assert not any("METRICS_PORT" in spec.env for spec in plan().services())


def test_the_sandbox_is_generous_and_shares_the_budget() -> None:
    """Processors and sandbox have the same C2S limit, higher than the real one."""
    sandbox, _, processor, *_ = plan().services()
    assert sandbox.env["C2S_RATE_LIMIT"] == processor.env["C2S_RATE_LIMIT"] == "120/minute"
    assert processor.env["C2S_BASE_URL"] == processor.env["WORK_API_BASE_URL"] == "http://127.0.0.1:9000"


def test_what_is_given_is_left_alone() -> None:
    """Nothing that the environment sets is overridden."""
    given = {"C2S_RATE_LIMIT": "5/minute", "REDIS_URL": "redis://mine:1/0", "C2S_WEBHOOK_SECRET": "mine"}
    sandbox, ingress, *_ = plan(**given).services()
    assert not given.keys() & ingress.env.keys()
    assert sandbox.env["C2S_RATE_LIMIT"] == "5/minute"


def test_a_real_c2s_gets_its_real_limit_and_no_sample_leads() -> None:
    """With C2S_BASE_URL set, the default rate stays C2S's own and nothing invented is sent."""
    real = plan(C2S_BASE_URL="https://c2s.example.com", C2S_TOKEN="t")
    assert real.leaves_machine
    assert "C2S_RATE_LIMIT" not in real.environment()
    assert "C2S_TOKEN" not in real.environment()
    assert real.sandbox_url
    everything = {
        "C2S_BASE_URL": "https://c2s.example.com",
        "DIRETRIX_BASE_URL": "https://d.example.com",
        "WORK_API_BASE_URL": "https://w.example.com",
    }
    assert plan(**everything).sandbox_url == ""
    assert not plan().leaves_machine


def test_another_shell_gets_all_it_needs() -> None:
    """The note holds what was given as well: the other shell has none of our environment."""
    whole = plan(DATABASE_URL="postgresql://mine/d", STREAM_PARTITIONS="4", PORT="1").whole_environment()
    assert whole["DATABASE_URL"] == "postgresql://mine/d"
    assert whole["STREAM_PARTITIONS"] == "4"
    assert whole["C2S_WEBHOOK_SECRET"] == "secret"
    assert "PORT" not in whole


def test_services_always_say_when_they_are_ready() -> None:
    """Readiness is read from their logs, so a quieter log level is raised to info."""
    assert plan(LOG_LEVEL="error").environment()["LOG_LEVEL"] == "info"
    assert "LOG_LEVEL" not in plan(LOG_LEVEL="debug").environment()


def test_secrets_are_drawn_once_and_kept_private(tmp_path: Path) -> None:
    """The second start finds the first one's secrets; the file is the owner's only."""
    numbers = itertools.count()
    settings = load_settings("cli", {})
    first = credentials_for(tmp_path, settings, lambda _: f"drawn-{next(numbers)}")
    assert credentials_for(tmp_path, settings) == first
    assert len({first.webhook_secret, first.webhook_token, first.admin_token, first.trigger_api_key}) == 4
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_given_secrets_win_and_are_not_copied(tmp_path: Path) -> None:
    """A secret from the environment is used and never written."""
    settings = load_settings("cli", {"C2S_WEBHOOK_SECRET": "from-outside"})
    assert credentials_for(tmp_path, settings).webhook_secret == "from-outside"
    assert "from-outside" not in (tmp_path / "secrets.json").read_text()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_secrets_file_is_told(content: str, tmp_path: Path) -> None:
    """Secrets are never silently replaced."""
    (tmp_path / "secrets.json").write_text(content)
    with pytest.raises(DevServerError, match=r"secrets\.json"):
        credentials_for(tmp_path, load_settings("cli", {}))


def note(pid: int) -> Ready:
    urls = dict.fromkeys(("ingress_url", "webhook_url", "sandbox_url", "data_dir", "log_dir"), "")
    environment = {"REDIS_URL": "redis://r/0", "DATABASE_URL": "postgresql://p/d"}
    return Ready(
        **urls,
        redis_url="redis://r/0",
        database_url="postgresql://p/d",
        webhook_secret="s",
        webhook_token="t",
        admin_token="a",
        trigger_api_key="k",
        pid=pid,
        pids={"ingress": 1},
        environment=environment,
    )


def test_a_running_system_is_found(tmp_path: Path) -> None:
    """The note counts while its writer lives, unless the environment names another system."""
    write_ready(tmp_path / FILE_NAME, note(os.getpid()))
    assert running_environment(tmp_path, {})["REDIS_URL"] == "redis://r/0"
    assert running_environment(tmp_path, {"REDIS_URL": "redis://r/0"})["DATABASE_URL"] == "postgresql://p/d"
    assert running_environment(tmp_path, {"REDIS_URL": "redis://other/0"}) == {}
    assert running_environment(tmp_path, {"DATABASE_URL_FILE": "/run/secrets/db"}) == {}


def test_a_note_of_the_dead_counts_for_nothing(tmp_path: Path) -> None:
    """A killed `c2s up` leaves its note behind; nobody is led to servers that are gone."""
    assert running_environment(tmp_path, {}) == {}
    write_ready(tmp_path / FILE_NAME, note(2**22 + 1))  # above Linux's greatest process id
    assert running_environment(tmp_path, {}) == {}
    (tmp_path / FILE_NAME).write_text(json.dumps({"pid": 1}))
    with pytest.raises(DevServerError, match=r"up\.json"):
        running_environment(tmp_path, {})


def test_a_taken_port_is_refused_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual port taken: another one, said aloud. An asked-for port taken: refused by name."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(up, "DEFAULT_PORT", port)
        chosen = up.choose_port(None, said.append)
        assert chosen != port
        assert said == [f"port {port} is taken, so the ingress listens on {chosen}"]
        with pytest.raises(SettingsError, match=f"port {port} is taken"):
            up.choose_port(port, said.append)
    assert up.choose_port(port, said.append) == port


def test_sample_leads_differ_in_kind_shape_and_run() -> None:
    """The burst shows every special case; later ones go on without end; runs share no lead."""
    first = list(itertools.islice(samples("a"), 40))
    assert {sample.lead_id.partition("-")[0] for sample in first[:6]} == {
        "lead", "twins", "nomatch", "phoneonly", "emailonly",
    }  # fmt: skip
    assert len({sample.shape for sample in first}) == 5
    assert {sample.action for sample in first} == {CREATE, UPDATE}
    assert all(is_lead_id(sample.lead_id) for sample in first)
    other = {sample.lead_id for sample in itertools.islice(samples("b"), 40)}
    assert not other & {sample.lead_id for sample in first}


def test_a_webhook_body_of_each_sample_is_one_the_door_reads() -> None:
    """What the CLI and the traffic sign is what C2S sends."""
    for sample in itertools.islice(samples("c"), 12):
        raw = webhook_body(sample.lead_id, sample.action, sample.shape, datetime(2026, 1, 21, tzinfo=UTC))
        (element,) = parse_body(raw, default_action=sample.action).elements
        assert (element.lead_id, element.action) == (sample.lead_id, sample.action)  # type: ignore[union-attr]
