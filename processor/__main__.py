"""``python -m processor``: the engine."""

import ops.early
import ops.lean  # noqa: F401 -- before everything else
from ops.lifecycle import run_service
from processor.service import serve

if __name__ == "__main__":
    raise SystemExit(run_service("processor", serve))
