"""``python -m projections``: the record."""

from ops.lifecycle import run_service
from projections.service import serve

if __name__ == "__main__":
    raise SystemExit(run_service("projector", serve))
