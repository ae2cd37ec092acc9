"""C2S's actions by a short name, as options take them."""

from typing import Literal

from schema.identity import CLOSE, CREATE, UPDATE

Action = Literal["create", "update", "close", "on_create_lead", "on_update_lead", "on_close_lead"]
ACTIONS: dict[Action, str] = {
    "create": CREATE,
    "update": UPDATE,
    "close": CLOSE,
    "on_create_lead": CREATE,
    "on_update_lead": UPDATE,
    "on_close_lead": CLOSE,
}
SHORT = {CREATE: "create", UPDATE: "update", CLOSE: "close"}
