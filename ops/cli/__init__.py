"""The operator's CLI, `c2s`.

The services are replaced in place (`execv`) before anything heavy is imported: a process manager sees the
service itself, and no memory is spent on a CLI that has nothing more to say.
"""

import os
import sys
from collections.abc import Sequence

SERVICES = {"ingress": "ingress", "processor": "processor", "projector": "projections", "run": "ops.run"}


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in SERVICES and not {"--help", "-h"} & set(words[1:]):
        become(words[0], words[1:])
    import ops.lean  # noqa: F401, PLC0415 -- see above
    from ops.cli.app import run  # noqa: PLC0415

    run(words)


def become(service: str, arguments: Sequence[str]) -> None:
    """Turn this process into a service; does not return."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", SERVICES[service], *arguments])  # noqa: S606 -- our own
