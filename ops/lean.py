"""Imported first by each service and by the CLI, to leave out what none of them uses.

structlog loads rich, where that is installed, to draw tracebacks on a terminal: 3 MB of each process. Here it
is loaded as if rich were not there; whoever imports rich later finds it. redis-py loads OpenTelemetry's
metrics, 3 MB more, in case somebody turns on its own; our spans (`ops.traces_otel`) go without.
"""

import sys

sys.modules.setdefault("opentelemetry.sdk.metrics", None)  # type: ignore[arg-type]
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
