"""Collected only where there is a Chromium; tests/conftest.py says loudly where there is none."""

from support_chromium import CHROMIUM

collect_ignore_glob = [] if CHROMIUM else ["test_*.py"]
