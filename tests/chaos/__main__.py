"""``make chaos``: storms of any length, with their seeds and what came of them."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.storm import storm


def main() -> int:
    """Run one storm; exit code 1 where an invariant broke."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--leads", type=int, default=140)
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs in any case")
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.minutes:g} minutes, {asked.leads} leads", flush=True)
    print("the seed repeats what is done and sent, and when; how far the system is by then, it cannot")
    folder = Path(tempfile.mkdtemp(prefix="c2s-chaos-"))
    whole = False
    try:
        report = asyncio.run(storm(folder, seed=asked.seed, seconds=asked.minutes * 60, leads=asked.leads))
        print(report)
        whole = not report.broken
    finally:
        if whole and not asked.keep:
            shutil.rmtree(folder)
        else:
            print(f"logs and data are kept in {folder}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
