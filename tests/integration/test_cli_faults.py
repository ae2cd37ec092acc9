"""Every command in a broken world: one clear line, exit code 1 or 2, never a traceback."""

import base64
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support_commands import CALLS, ENDLESS, tree
from support_forks import run_c2s

NOWHERE_REDIS, NOWHERE_POSTGRES = "redis://127.0.0.1:1/0", "postgresql://postgres@127.0.0.1:1/none"
# Need neither Redis nor Postgres, or only one of them.
WITHOUT_POSTGRES = {"dead discard", "dead list", "dead replay", "dead show", "events show"}
# Ask nobody at all.
ALONE = {"completion", "keys new", "secret rotate"}
WITHOUT_BOTH = {"completion", "keys new", "secret rotate", "send", "subscribe", "unsubscribe"}


def calls(tmp_path: Path, names: set[str], **env: str) -> dict[str, subprocess.CompletedProcess[str]]:
    given = {
        "C2S_TOKEN": "t", "C2S_BASE_URL": "http://127.0.0.1:1", "C2S_WEBHOOK_SECRET": "s",
        "WEBHOOK_URL": "http://127.0.0.1:1/hook",
        "PAYLOAD_KEYS": base64.b64encode(bytes(32)).decode(), "HASH_KEY": "h",
    }  # fmt: skip

    def call(name: str) -> subprocess.CompletedProcess[str]:
        return run_c2s(*name.split(), *CALLS[name], env=given | env, cwd=tmp_path)

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(names, pool.map(call, names), strict=True))


def test_every_command_is_called_here():
    """A new command is tried in broken worlds, too."""
    assert set(CALLS) | ENDLESS == set(tree())


def test_addresses_that_are_none_are_wrong_use(tmp_path):
    """Malformed URLs: exit code 2 naming both settings, and not their content, which may hold a password."""
    needed = set(CALLS) - ALONE
    done = calls(tmp_path, needed, REDIS_URL="nonsense-pw1", DATABASE_URL="nonsense-pw2")
    for name, one in done.items():
        assert one.returncode == 2, (name, one.stdout, one.stderr)
        assert "REDIS_URL: must begin with redis://" in one.stderr, name
        assert "DATABASE_URL: must begin with postgresql://" in one.stderr, name
        assert "nonsense" not in one.stdout + one.stderr, name


def test_servers_that_are_down_are_told(tmp_path):
    """Redis and Postgres away: exit code 1 and who is away, in one line."""
    done = calls(tmp_path, set(CALLS), REDIS_URL=NOWHERE_REDIS, DATABASE_URL=NOWHERE_POSTGRES)
    for name, one in done.items():
        assert "Traceback" not in one.stdout + one.stderr, name
        if name in ALONE:
            assert one.returncode == 0
            continue
        assert one.returncode == 1, (name, one.stdout, one.stderr)
        if name not in {"doctor", "top"}:
            assert one.stderr.count("error: ") == 1, (name, one.stderr)
            assert ("Redis" in one.stderr or "Postgres" in one.stderr) != (name in WITHOUT_BOTH), name
    assert done["top"].stdout.count("away: ") == 2
    assert "start PostgreSQL, or correct DATABASE_URL" in done["doctor"].stdout


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("no_such_database", "there is no such database"),
        ("", "run `c2s migrate`"),
    ],
)
def test_a_database_that_is_missing_or_empty_is_told(tmp_path, redis_url, database_url, database, words):
    """One line says so and what to do; commands that need no database do their work."""
    url = f"{database_url.rpartition('/')[0]}/{database}" if database else database_url
    names = set(CALLS) - WITHOUT_BOTH - WITHOUT_POSTGRES - {"doctor", "top", "migrate"}
    for name, one in calls(tmp_path, names, REDIS_URL=redis_url, DATABASE_URL=url).items():
        assert one.returncode == 1, (name, one.stdout, one.stderr)
        assert words in one.stderr, (name, one.stderr)
        assert one.stderr.strip().count("\n") == 0, (name, one.stderr)


def test_the_doctor_says_what_it_leads_to_and_how_to_mend_it(tmp_path, database_url):
    """Of each check that is not well: what, why it matters, the command to run."""
    sick = calls(tmp_path, {"doctor"}, REDIS_URL=NOWHERE_REDIS, DATABASE_URL=database_url)["doctor"].stdout
    for words in (
        "FAIL  redis: Redis cannot be reached",
        "why webhooks go to the spool",
        "do  start Redis, or correct REDIS_URL",
        "FAIL  migrations: pending",
        "run `c2s migrate`",
    ):
        assert words in sick, sick
