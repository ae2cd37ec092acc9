"""``python -m ops.healthy [URL]``: exit code 0 if a URL answers 200, else 1; for a container's health check.

Without a URL it is the door's /ready on PORT: whether webhooks can be stored somewhere.
"""

import os
import sys
import urllib.request

_TIMEOUT_S = 4.0
_OK = 200


def healthy(url: str) -> bool:
    """Whether it answers 200 in time."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 -- given by the operator
            return bool(answer.status == _OK)
    except OSError:  # refused, too late, or any other status
        return False


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    url = arguments[0] if arguments else f"http://127.0.0.1:{os.environ.get('PORT') or 8080}/ready"
    return 0 if healthy(url) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
