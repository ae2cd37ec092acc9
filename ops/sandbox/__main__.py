"""``python -m ops.sandbox --port P``: run the sandbox until SIGTERM or SIGINT, then exit 0.

Reads ``C2S_TOKEN``, ``DIRETRIX_USER``, ``DIRETRIX_PASS``, ``WORK_API_KEY`` (each ``sandbox`` if unset),
``SANDBOX_C2S_RATE_LIMIT`` (else ``C2S_RATE_LIMIT``), ``SANDBOX_WEBHOOK_URL``, ``C2S_WEBHOOK_SECRET``.
"""

import argparse
import os
import sys

import setproctitle
from aiohttp import web

from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig, from_env
from ops.sandbox.limits import parse_rate

_SHUTDOWN_S = 1.0  # handlers that wait are told to stop first; this bounds the others


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop. Returns the exit code: 2 for a setting that cannot be read."""
    parser = argparse.ArgumentParser(prog="c2s-sandbox", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=1.0, help="multiplies every latency; 0 for none")
    options = parser.parse_args(arguments)
    config = from_env(os.environ, latency=options.latency)
    try:
        parse_rate(config.c2s_rate_limit)
    except ValueError as problem:
        sys.stderr.write(f"SANDBOX_C2S_RATE_LIMIT: {problem}\n")
        return 2
    setproctitle.setproctitle("c2s-sandbox")
    # No access log: the Work API's token and people's contacts are in the paths.
    web.run_app(
        _made_on_loop(config),
        host=options.host,
        port=options.port,
        print=_say,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
    )
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # who waits for this line reads it from a pipe


async def _made_on_loop(config: SandboxConfig) -> web.Application:
    return create_app(config)


if __name__ == "__main__":
    sys.exit(main())
