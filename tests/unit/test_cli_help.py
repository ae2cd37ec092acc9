"""What the CLI says about itself, how it refuses wrong use, and that the services do not pay for it."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support_commands import options_of, tree
from support_forks import run_c2s

from ops.ages import since_of
from ops.cli.completion import usual_shell
from schema.errors import SettingsError

C2S = Path(sys.executable).with_name("c2s")
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"COLUMNS": "200"}
NOW = datetime(2026, 1, 21, 12, tzinfo=UTC)


def c2s(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run_c2s(*arguments, cwd=cwd, env=ENVIRONMENT)


def test_help_lists_every_command() -> None:
    """A newcomer sees all commands, where to start and what the exit codes mean."""
    words = c2s("--help").stdout
    for name in (
        "up", "ingress", "processor", "projector", "migrate", "send", "events", "stats", "doctor", "rebuild",
    ):  # fmt: skip
        assert f" {name} " in words
    assert "Start with c2s up" in words
    assert "0 fine, 1 found a problem, 2 wrong use" in words


def test_every_command_explains_itself_with_an_example():
    """Each says what it does, and all but the services (settings only) have a command line to copy."""
    for name, command in tree().items():
        assert command.help, name
        if name in {"ingress", "processor", "projector"}:
            continue
        assert "Example" in (command.epilog or ""), name
        assert f"c2s {name}" in command.epilog, name


def test_help_shows_the_example():
    """The example reaches the screen."""
    done = c2s("events", "tail", "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert "c2s events tail" in done.stdout


def test_everything_that_answers_can_answer_in_json():
    """Commands that only run until stopped, or only change something at C2S, have no answer to print."""
    silent = {"up", "run", "ingress", "processor", "projector", "subscribe", "unsubscribe", "dead show"}
    silent |= {
        "completion",
        "keys new",
        "subject export",
        "subject erase",
        "subject reapply",
    }  # the last three of these: JSON always
    assert {n for n, c in tree().items() if "--json" not in options_of(c)} == silent


def test_shells_complete_commands_and_options():
    """A shell that was told by `c2s completion` asks c2s itself, whoever started it."""
    for words, expected in (("c2s do", "doctor"), ("c2s events ta", "tail"), ("c2s top --on", "--once")):
        env = ENVIRONMENT | {
            "_C2S_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        done = subprocess.run([C2S], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.split() == [expected], done


def test_completion_needs_no_shell_above_it():
    """A build or a service manager starts no shell: the one that is named, else that of SHELL, is served."""
    assert "complete -o" in c2s("completion", "bash").stdout
    assert "#compdef c2s" in c2s("completion", "zsh").stdout
    assert [usual_shell(path) for path in ("/usr/bin/fish", "/bin/sh", "")] == ["fish", "bash", "bash"]


@pytest.mark.parametrize("command", ["ingress", "processor", "projector"])
def test_services_explain_themselves_without_starting(command: str) -> None:
    """`--help` of a service starts nothing."""
    done = c2s(command, "--help")
    assert done.returncode == 0
    assert "settings from the environment" in done.stdout


def test_a_service_that_lacks_settings_says_so_itself(tmp_path: Path) -> None:
    """`c2s ingress` becomes the service: its own refusal, its own exit code."""
    done = c2s("ingress", cwd=tmp_path)
    assert done.returncode == 2
    assert "ingress: wrong settings" in done.stderr
    assert "C2S_WEBHOOK_SECRET" in done.stderr


def test_services_do_not_load_the_cli() -> None:
    """Until a service takes over, neither typer nor rich nor the settings are loaded."""
    heavy = "{'typer', 'rich', 'pydantic', 'aiohttp', 'asyncpg', 'redis'}"
    code = f"import sys, ops.cli; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "No such command"),
        (["events", "list", "--status", "odd"], "odd"),
        (["events", "list", "--limit", "0"], "--limit"),
        (["send", "no spaces allowed"], "LEAD_ID"),
        (["send", "L-1"], "C2S_WEBHOOK_SECRET"),
        (["events", "list", "--since", "yesterday"], "--since"),
        (["events", "list", "--until", "soon"], "--until: 'soon' is neither an age"),
        (["events", "list"], "REDIS_URL, DATABASE_URL: not set, and no `c2s up` is running"),
        (["stats"], "REDIS_URL, DATABASE_URL"),
        (["doctor"], "REDIS_URL, DATABASE_URL"),
    ],
)
def test_wrong_use_is_one_clear_error(arguments: list[str], words: str, tmp_path: Path) -> None:
    """Exit code 2 and words that name what is wrong; never a traceback."""
    done = c2s(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-20T10:00:00Z", datetime(2026, 1, 20, 10, tzinfo=UTC)),
    ],
)
def test_since_takes_an_age_or_a_time(text: str, expected: datetime | None) -> None:
    """Both ways to say since when."""
    assert since_of(text, NOW) == expected


@pytest.mark.parametrize("text", ["2w", "-1h", "tomorrow", "9999999999d"])
def test_since_refuses_anything_else(text: str) -> None:
    """A wrong age is refused by name."""
    with pytest.raises(SettingsError, match="--since"):
        since_of(text, NOW)
