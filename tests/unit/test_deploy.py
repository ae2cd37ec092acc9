"""fly.toml, Dockerfile, compose.yaml and Procfile agree with each other and with the code."""

import re
import tomllib
from pathlib import Path

import yaml

from ops.run import specs
from ops.settings import Settings

ROOT = Path(__file__).parents[2]
FLY = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines() if line
)
DEFAULTS = Settings()
SETTINGS = {name.upper() for name in Settings.model_fields}
# The keys of Fly's configuration reference that this file uses, by table.
CHECK = {"type", "port", "path", "processes", "interval", "timeout", "grace_period", "method"}
KNOWN = {
    "": {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "deploy", "env", "processes",
        "http_service", "checks", "metrics", "vm",
    },
    "deploy": {"release_command", "strategy", "max_unavailable"},
    "http_service": {
        "internal_port", "processes", "force_https", "auto_stop_machines", "auto_start_machines",
        "min_machines_running", "concurrency", "checks",
    },
}  # fmt: skip


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_fly_knows_every_key():
    """A misspelt key is ignored by Fly without a word."""
    assert set(FLY) <= KNOWN[""]
    assert set(FLY["deploy"]) <= KNOWN["deploy"]
    assert set(FLY["http_service"]) <= KNOWN["http_service"]
    assert set(FLY["http_service"]["concurrency"]) == {"type", "soft_limit", "hard_limit"}
    for check in (*FLY["http_service"]["checks"], *FLY["checks"].values()):
        assert set(check) <= CHECK
    assert all(set(metrics) == {"port", "path", "processes"} for metrics in FLY["metrics"])
    assert all(set(vm) == {"memory", "cpu_kind", "cpus", "processes"} for vm in FLY["vm"])


def test_fly_runs_what_the_procfile_names():
    """Processes and release command are the same; each group has a machine, a check and metrics."""
    assert {**FLY["processes"], "release": FLY["deploy"]["release_command"]} == PROCFILE
    groups = set(FLY["processes"])
    for table in (FLY["vm"], FLY["metrics"]):
        assert {name for entry in table for name in entry["processes"]} == groups
    checked = {name for check in FLY["checks"].values() for name in check["processes"]}
    assert checked | set(FLY["http_service"]["processes"]) == groups


def test_fly_loses_nothing_on_a_deploy():
    """Two doors, never asleep, ready before traffic; time to stop in order; small machines."""
    http = FLY["http_service"]
    assert (http["min_machines_running"], http["auto_stop_machines"]) == (2, "off")
    assert [check["path"] for check in http["checks"]] == ["/ready"]
    assert FLY["kill_signal"] == "SIGTERM"
    deadline = float(FLY["env"]["SHUTDOWN_DEADLINE_SECS"])
    assert deadline == DEFAULTS.shutdown_deadline_secs < seconds(FLY["kill_timeout"])
    assert (FLY["deploy"]["strategy"], FLY["deploy"]["max_unavailable"]) == ("rolling", 1)
    assert {vm["memory"] for vm in FLY["vm"]} == {"256mb"}


def test_ports_and_settings_agree():
    """What is set is a setting of ours, and ports are those that are asked."""
    env = FLY["env"]
    assert set(env) - {"TZ"} <= SETTINGS  # TZ is the system's own
    assert int(env["PORT"]) == FLY["http_service"]["internal_port"]
    ports = {name: m["port"] for m in FLY["metrics"] for name in m["processes"]}
    assert ports == {"ingress": int(env["PORT"])} | dict.fromkeys(
        ("processor", "projector"), int(env["METRICS_PORT"])
    )
    assert {check["port"] for check in FLY["checks"].values()} == {int(env["METRICS_PORT"])}
    assert set(COMPOSE["x-service"]["environment"]) - {"TZ"} <= SETTINGS


def test_compose_keeps_what_it_is_given_and_gives_nothing_away():
    """Redis appends to disk and evicts nothing; services are read-only, unprivileged, small, in order."""
    redis = COMPOSE["services"]["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    assert redis["volumes"]
    ours = {n: COMPOSE["services"][n] for n in ("migrate", "ingress", "processor", "projector")}
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["mem_limit"] == "256m"
        assert seconds(service["stop_grace_period"]) > DEFAULTS.shutdown_deadline_secs
    commands = {name: " ".join(service["command"]) for name, service in ours.items()}
    assert commands == {"migrate" if n == "release" else n: c for n, c in PROCFILE.items()}
    assert ours["ingress"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_image_runs_as_nobody_and_can_be_asked_how_it_is():
    """The last user is a number that is not root's; a health check; packages are hash-checked; two stages."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE) == [("10001", "10001")]
    assert re.search(r'^HEALTHCHECK .*CMD \["python", "-m", "ops.healthy"\]$', text, re.MULTILINE)
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    for install in re.findall(r"pip install .*", text):
        assert "--require-hashes" in install or "--no-deps ." in install


def test_one_machine_gets_a_port_and_a_name_for_each():
    """`c2s run` starts the door last (it is stopped first), and no two processes share a port or a name."""
    found = specs({"METRICS_PORT": "9091", "INSTANCE": "m"}, processors=2)
    assert [spec.name for spec in found] == ["projector", "processor-1", "processor-2", "ingress"]
    assert [spec.env.get("METRICS_PORT") for spec in found] == ["9091", "9092", "9093", "9094"]
    assert len({spec.env["INSTANCE"] for spec in found}) == 4
