"""The settings as this process has them, by area; of a secret only whether it is set."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from ops.settings import Settings


@dataclass(frozen=True, slots=True)
class Area:
    """Settings that belong together, as docs/settings.md has them."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)


def shown_settings(settings: Settings) -> list[Area]:
    """Every setting with its effective value."""
    areas = []
    for kind in reversed(Settings.__bases__):
        area = Area(kind.__name__)
        areas.append(area)
        for name in (name for name in Settings.model_fields if name in kind.__annotations__):
            value = getattr(settings, name)
            secret = isinstance(value, SecretStr)
            text = "" if secret else str(value).lower() if isinstance(value, bool) else str(value)
            is_set = bool(value.get_secret_value()) if secret else bool(text)
            area.rows.append(
                {"name": name.upper(), "value": text, "secret": secret, "is_set": is_set,
                 "changed": name in settings.model_fields_set,
                 "description": Settings.model_fields[name].description or ""}
            )  # fmt: skip
    return areas
