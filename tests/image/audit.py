"""``python -m image.audit``: pip-audit --strict over the locks; loud, but no failure, where nobody answers.

Exit code 0: nothing known, or nobody to ask; 1: a locked version has a known fault, or could not be audited.
"""

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICE = "https://pypi.org/pypi/{}/{}/json"  # what pip-audit asks
LOCKS = ("runtime", "dev", "image")


def reachable() -> bool:
    """Whether the advisory service answers for the first of our locked versions."""
    text = (ROOT / "requirements/runtime.lock").read_text(encoding="utf-8")
    first = re.search(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    assert first
    try:
        with urllib.request.urlopen(SERVICE.format(*first.groups()), timeout=10) as answer:
            return b'"vulnerabilities"' in answer.read()
    except OSError:
        return False


def main() -> int:
    if not reachable():
        print("!" * 100)
        print("NOT AUDITED: no advisory service answers here; nobody looked for known faults.")
        print("!" * 100)
        return 0
    command = [Path(sys.executable).with_name("pip-audit"), "--strict", "--disable-pip", "--require-hashes"]
    for lock in LOCKS:
        command += ["-r", ROOT / "requirements" / f"{lock}.lock"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
