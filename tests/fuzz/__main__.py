"""``make fuzz``: coverage-guided fuzzing of what strangers reach first, each target a share of the time.

The corpus that grows is kept in ``.fuzz/`` between runs, and so is an input that crashed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from fuzz import corpus
from fuzz.harness import TARGETS

FOLDER = Path(".fuzz")
LONGEST_INPUT = 4096
SLOW_S = 5  # one input may not take longer
MOST_MIB = 1024


def main() -> int:
    """Run the targets; exit code 1 where one crashed, hung or grew."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for all targets together")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one")
    asked = parser.parse_args()
    names = asked.target or list(TARGETS)
    seconds = max(1, round(asked.minutes * 60 / len(names)))
    return max(fuzz(name, seconds) for name in names)


def fuzz(name: str, seconds: int) -> int:
    """One target; its executions and result are printed."""
    found, seeds = FOLDER / name, FOLDER / f"{name}-seeds"
    for folder in (found, seeds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(getattr(corpus, TARGETS[name][1])):
        (seeds / f"{number:02}").write_bytes(seed)
    command = [sys.executable, "-m", "fuzz.target", name, str(found), str(seeds)]
    command += [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-timeout={SLOW_S}"]
    command += [f"-rss_limit_mb={MOST_MIB}", f"-artifact_prefix={FOLDER}/{name}-", "-print_final_stats=1"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    coverage = re.findall(r" cov: (\d+)", done.stderr)
    print(
        f"{name}: {int(executed[1]) if executed else 0:,} executions in {seconds} s,"
        f" {coverage[-1] if coverage else 0} branches, {'no crash' if done.returncode == 0 else 'CRASH'}",
        flush=True,
    )
    if done.returncode:
        print(done.stdout[-4000:] + done.stderr[-8000:], file=sys.stderr)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
