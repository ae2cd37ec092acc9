"""``python -m ingress``: the door."""

from ingress.app import serve
from ops.lifecycle import run_service

if __name__ == "__main__":
    raise SystemExit(run_service("ingress", serve))
