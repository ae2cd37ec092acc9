"""A service that is asked to stop while it starts."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
CODE = """
import ops.early, os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    pass
print("still here")
"""


def test_nobody_swallows_an_early_interrupt() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")


@pytest.mark.parametrize("service", ["ingress", "processor", "projections"])
def test_each_service_sees_to_it_before_it_imports_anything_of_weight(service: str) -> None:
    text = (HOUSE / service / "__main__.py").read_text(encoding="utf-8")
    imports = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert next(name for name in imports if name not in sys.stdlib_module_names) == "ops.early"
