"""The note a running `c2s up` leaves: where everything is, for scripts and for the CLI in another shell."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ops.dev.credentials import write_private
from ops.dev.errors import DevServerError

FILE_NAME = "up.json"


@dataclass(frozen=True, slots=True)
class Ready:
    """A running system; the JSON has these very names.

    Attributes:
        pid: of `c2s up` itself.
        pids: of everything it runs, by name; the file is written anew when one changes.
        environment: settings that make a CLI command in another shell talk to this system.
    """

    ingress_url: str
    webhook_url: str
    redis_url: str
    database_url: str
    sandbox_url: str
    webhook_secret: str
    webhook_token: str
    admin_token: str
    trigger_api_key: str
    data_dir: str
    log_dir: str
    pid: int
    pids: dict[str, int]
    environment: dict[str, str] = field(default_factory=dict)


def write_ready(path: Path, ready: Ready) -> None:
    """Write the note: readable by its owner only, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, asdict(ready))


def running_environment(data_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of the system that runs on a data directory; empty if none does, or another is meant.

    An environment that names another Redis or Postgres means that one.

    Raises:
        DevServerError: the note is there but cannot be read.
    """
    path = data_dir / FILE_NAME
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        found = {str(name): str(value) for name, value in note["environment"].items()}
        pid = int(note["pid"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DevServerError(
            f"{path} cannot be read ({type(error).__name__}): start `c2s up` again, "
            "or set REDIS_URL and DATABASE_URL"
        ) from None
    for name in ("REDIS_URL", "DATABASE_URL"):
        if environ.get(f"{name}_FILE") or environ.get(name, found[name]) != found[name]:
            return {}
    return found if _is_alive(pid) else {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False  # it was SIGKILLed and could not take its note away
    except PermissionError:
        return True  # somebody else's, and alive
    return True
