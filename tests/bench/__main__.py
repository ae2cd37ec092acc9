"""``make bench``: each figure beside its floor in the same run, interleaved; ratios count, not figures.

Prints a table and writes JSON to ``bench-results/``.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.figures import shown
from bench.page import write
from bench.rig import CORES, pin

# Name, and how much work one round is.
SCENARIOS = {
    "ingress": 15_000,
    "sealing": 15_000,
    "processing": 20_000,
    "projection": 20_000,
    "end_to_end": 12_000,
    "commands": 600,
    "growth": 1_000_000,  # webhooks stored
    "idle": 600,  # seconds
    "startup": 3,  # starts of each
    "budget": 200,
}


def main() -> int:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"some of: {', '.join(SCENARIOS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the usual work per round")
    parser.add_argument(
        "--growth", default="", metavar="SMALL:LARGE", help="sizes of the histories that growth compares"
    )
    parser.add_argument(
        "--write", action="store_true", help="docs/performance.md from what is in bench-results/"
    )
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    pin(os.getpid(), 1)
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    for name in names:
        scenario = importlib.import_module(f"bench.{name}")
        with tempfile.TemporaryDirectory(prefix="c2s-bench-") as folder:
            count, more = max(1, round(SCENARIOS[name] * asked.scale)), {}
            busy = round(os.getloadavg()[1], 1)
            if name == "growth" and asked.growth:
                more["small"], count = (int(size) for size in asked.growth.split(":"))
            found = uvloop.run(scenario.run(Path(folder), asked.rounds, count, **more))
        found["load of the machine"] = f"{busy} before, {os.getloadavg()[1]:.1f} after, on {len(CORES)} cores"
        (results / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        print(f"{name}  ({asked.rounds} rounds of {count:,})")
        for what, value in found.items():
            print(shown(what, value))
    if asked.write:
        write(results, Path("docs/performance.md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
