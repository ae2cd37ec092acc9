"""The secrets of a development machine: drawn once, kept in the data directory.

So bookmarks and other shells keep working. What the environment gives is stronger and never copied there.
"""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ops.dev.errors import DevServerError
from ops.settings import Settings

FILE_NAME = "secrets.json"
_BYTES = 24


@dataclass(frozen=True, slots=True)
class Credentials:
    """What callers of our own doors must show; the names are those of the settings, shortened.

    Attributes:
        webhook_secret: signs webhooks (``C2S_WEBHOOK_SECRET``).
        webhook_token: in the URL of unsigned webhooks (``C2S_WEBHOOK_TOKEN``).
        admin_token: of the operator API (``ADMIN_TOKEN``).
        trigger_api_key: of the old trigger (``TRIGGER_API_KEY``).
    """

    webhook_secret: str
    webhook_token: str
    admin_token: str
    trigger_api_key: str


def credentials_for(
    data_dir: Path, settings: Settings, draw: Callable[[int], str] = secrets.token_hex
) -> Credentials:
    """The credentials to use: from the settings, else from the file, else drawn now and kept there.

    Args:
        data_dir: an existing directory.
        settings: what the environment gives.
        draw: a fresh secret of so many bytes, as text.

    Raises:
        DevServerError: the file cannot be read; the text says what to do.
    """
    path = data_dir / FILE_NAME
    kept = _read(path)
    names = [field.name for field in fields(Credentials)]
    whole = {name: kept.get(name) or draw(_BYTES) for name in names}
    if whole != kept:
        write_private(path, whole)
    given = {
        "webhook_secret": settings.c2s_webhook_secret,
        "webhook_token": settings.c2s_webhook_token,
        "admin_token": settings.admin_token,
        "trigger_api_key": settings.trigger_api_key,
    }
    return Credentials(**{name: given[name].get_secret_value() or whole[name] for name in names})


def write_private(path: Path, content: object) -> None:
    """Write JSON that only the owner may read, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(
        os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    partial.replace(path)


def as_environment(credentials: Credentials) -> dict[str, str]:
    """The credentials under the settings' names."""
    values = asdict(credentials)
    return {
        "C2S_WEBHOOK_SECRET": values["webhook_secret"],
        "C2S_WEBHOOK_TOKEN": values["webhook_token"],
        "ADMIN_TOKEN": values["admin_token"],
        "TRIGGER_API_KEY": values["trigger_api_key"],
    }


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DevServerError(
            f"{path} cannot be read ({type(error).__name__}): mend it, or remove it to draw new secrets"
        ) from None
    if not isinstance(content, dict):
        raise DevServerError(f"{path} holds no JSON object: mend it, or remove it to draw new secrets")
    return {str(name): value for name, value in content.items() if isinstance(value, str)}
