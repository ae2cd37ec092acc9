"""Where a Chromium is, and whether there is one."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, NAMES) if path), "")
MISSING = (
    "NO CHROMIUM: the console's browser tests (tests/browser) DID NOT RUN."
    " Install one (Debian: apt-get install chromium), or name it in CHROMIUM."
)
