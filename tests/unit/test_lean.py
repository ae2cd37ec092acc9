"""What a service of 256 MB machines does not load until somebody needs it."""

import subprocess
import sys

import pytest

# Heavy modules, and what they are for.
SELDOM = {
    "rich": "tracebacks in colour",
    "jinja2": "the console's pages",
    "cryptography.hazmat.primitives.ciphers.aead": "PAYLOAD_KEYS",
    "typer": "the CLI",
    "opentelemetry.exporter": "traces",
    "opentelemetry.sdk.resources": "redis-py's own metrics",
    "psutil": "redis-py's own metrics",
}


@pytest.mark.parametrize("service", ["ingress.app", "processor.service", "projections.service"])
def test_a_service_starts_without_what_is_seldom_used(service: str) -> None:
    """Each costs megabytes and is loaded by whatever needs it first."""
    code = f"import ops.lean, ops.lifecycle, {service}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(SELDOM) & set(done.stdout.split()) == set()


def test_who_needs_rich_finds_it() -> None:
    """Only structlog is kept from loading it."""
    code = "import ops.lean, structlog, rich.console; print(rich.console.Console)"
    assert (
        "Console"
        in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
