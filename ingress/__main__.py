"""``python -m ingress [--workers N]``: the door, or several of them on one port."""

import argparse
import os

import ops.early
import ops.lean  # noqa: F401 -- before everything else
from ops.lifecycle import run_service

_WORKERS = "INGRESS_WORKERS"


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="c2s ingress", description="The door for C2S's webhooks.")
    parser.add_argument("--workers", metavar="N", help=f"processes on one port; stronger than {_WORKERS}")
    workers: str | None = parser.parse_args().workers
    if workers is not None:
        for name in [key for key in os.environ if key.upper().startswith(_WORKERS)]:
            del os.environ[name]
        os.environ[_WORKERS] = workers
    # Asked before the settings are read, for whoever only minds workers needs nothing of the door itself.
    several = any(k.upper().startswith(_WORKERS) and v.strip() != "1" for k, v in os.environ.items())
    if several:
        from ops.workers import serve  # noqa: PLC0415
    else:
        from ingress.app import serve  # noqa: PLC0415
    return run_service("ingress", serve)


if __name__ == "__main__":
    raise SystemExit(main())
