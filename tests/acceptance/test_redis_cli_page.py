"""Every command of docs/redis-cli.md, typed into the real redis-cli at a running system."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.running import ROOT, Up, clean_environment

PAGE = (ROOT / "docs" / "redis-cli.md").read_text(encoding="utf-8")
LINES = re.findall(r"^redis-cli .*?(?= +#|$)", PAGE, re.MULTILINE)
REDIS_CLI = Path(sys.executable).with_name("redis-cli")
LEAD = "my-first-lead"
# What must be there after one lead was served; the others may be empty on a healthy, idle system.
SAYS = {
    "XLEN 'c2s:{0}:webhooks'": "1",
    "XREVRANGE 'c2s:{0}:webhooks' + - COUNT 5": LEAD,
    "XREVRANGE 'c2s:{0}:outcomes' + - COUNT 10": "lead_processed",
    "XINFO GROUPS 'c2s:{0}:webhooks'": "processors",
    "XINFO CONSUMERS 'c2s:{0}:webhooks' processors": "processor-",
    "HGETALL 'c2s:{outside}:budget:c2s'": "calls",
    "INFO persistence": "aof_enabled:1",
    "CONFIG GET maxmemory-policy": "noeviction",
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up"), "--port", "0", "--no-traffic") as running:
        running.until_ready()
        assert running.c2s("send", LEAD).returncode == 0
        rows = f"SELECT status FROM webhook_events WHERE lead_id = '{LEAD}'"  # noqa: S608 -- our own id
        running.eventually(lambda: running.psql(rows), lambda status: status == "success")
        yield running


def ask(up: Up, line: str) -> str:
    words = shlex.split(line)[1:]
    done = subprocess.run(
        [REDIS_CLI, "-u", up.note["redis_url"], *words],
        env=clean_environment(), capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_page_has_commands() -> None:
    """Those that must answer something are on the page as they are asked here."""
    assert len(LINES) >= 20
    assert {f"redis-cli {words}" for words in SAYS} <= set(LINES)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_works(up: Up, line: str) -> None:
    """Redis knows it and it fits the type of its key; where one lead must show, it shows."""
    answer = ask(up, line)
    assert not re.match(r"(?:\(error\)|ERR|WRONGTYPE|NOGROUP|NOPERM)", answer), answer
    assert SAYS.get(line.removeprefix("redis-cli "), "") in answer


def test_the_first_event_id_is_found_by_its_dedup_key(up: Up) -> None:
    """The line for a lead's create webhook gives the id that `c2s send` gave."""
    (line,) = [line for line in LINES if ":dedup:" in line]
    assert ask(up, line).strip() in up.c2s("events", "show", LEAD).stdout
