"""``make chaos``: storms of any length, with their seeds and what came of them."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from chaos.storm import storm


def main() -> int:
    """Run one storm; exit code 1 where an invariant broke."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--leads", type=int, default=300)
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.minutes} minutes, {asked.leads} leads", flush=True)
    with tempfile.TemporaryDirectory(prefix="c2s-chaos-") as folder:
        report = asyncio.run(
            storm(Path(folder), seed=asked.seed, seconds=asked.minutes * 60, leads=asked.leads)
        )
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
