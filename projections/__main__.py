"""``python -m projections``: the record."""

import ops.early
import ops.lean  # noqa: F401 -- before everything else
from ops.lifecycle import run_service
from projections.service import serve

if __name__ == "__main__":
    raise SystemExit(run_service("projector", serve))
