"""`c2s run`: every service on one small machine, under one supervisor."""

import os
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
from acceptance.running import C2S, clean_environment

from ops.dev.ports import free_port

MOST_PRIVATE = 256 * 1024 * 1024
HEALTHY_S = 40.0


def test_one_machine_runs_everything_in_256_mb(redis_url: str, database_url: str):
    """It migrates, becomes ready, starts again what is killed, fits, and ends in order with code 0."""
    port = free_port()
    env = clean_environment(
        {
            "REDIS_URL": redis_url, "DATABASE_URL": database_url, "C2S_WEBHOOK_SECRET": "s", "C2S_TOKEN": "t",
            "C2S_BASE_URL": "http://127.0.0.1:1", "DIRETRIX_USER": "u", "DIRETRIX_PASS": "p",
            "WORK_API_KEY": "k", "HOST": "127.0.0.1", "PORT": str(port), "LOG_FORMAT": "json",
        }
    )  # fmt: skip
    with subprocess.Popen(
        [C2S, "run"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            until_ready(port)
            until_said(run, "processor.started")
            family = by_service(run.pid)
            assert set(family) == {"ingress", "processor", "projector"}
            memory = {name: process.memory_full_info() for name, process in family.items()}
            own = psutil.Process(run.pid).memory_full_info()
            assert own.pss + sum(m.pss for m in memory.values()) < MOST_PRIVATE
            os.kill(family["processor"].pid, signal.SIGKILL)
            until_other(run.pid, family["processor"].pid)
            until_said(run, "processor.started")
        finally:
            run.send_signal(signal.SIGTERM)
            output = run.communicate(timeout=60)[0]
        assert run.returncode == 0, output
        assert output.count('"shutdown.drained"') == 3, output
    assert not [process for process in family.values() if process.is_running()]


def test_wrong_settings_end_everything(tmp_path: Path, redis_url: str, database_url: str):
    """A service that refuses its settings is not tried for ever: exit code 2 and its last words."""
    env = clean_environment({"REDIS_URL": redis_url, "DATABASE_URL": database_url, "PORT": str(free_port())})
    done = subprocess.run([C2S, "run"], env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 2
    assert "C2S_TOKEN" in done.stderr or "C2S_WEBHOOK_SECRET" in done.stderr
    assert "Traceback" not in done.stderr


def by_service(pid: int) -> dict[str, psutil.Process]:
    """Its children by what their titles say."""
    titles = {}
    for process in psutil.Process(pid).children():
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):  # killed, and not yet seen to be
            titles[process] = " ".join(process.cmdline())
    names = ("ingress", "processor", "projector")
    return {name: process for process, title in titles.items() for name in names if name in title}


def until_ready(port: int) -> None:
    deadline = time.monotonic() + HEALTHY_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def until_said(run: subprocess.Popen[str], words: str) -> None:
    """Read on until a line has these words; the test's own timeout is the deadline."""
    assert run.stdout is not None
    for line in run.stdout:
        if words in line:
            return
    raise AssertionError(f"it ended before it said {words}")


def until_other(pid: int, old: int) -> None:
    deadline = time.monotonic() + HEALTHY_S
    while (found := by_service(pid).get("processor")) is None or found.pid == old:
        assert time.monotonic() < deadline
        time.sleep(0.1)
